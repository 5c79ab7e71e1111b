// Speaks to the API. Every failure is an Error whose message is the server's one line.

async function ask(method, address, body = undefined) {
  const options = { method, headers: {} };
  if (body instanceof Blob) {
    options.body = body;
    options.headers["content-type"] = body.type;
  } else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer. Is 'ghostless serve' still running?");
  }
  if (answer.status === 204) return null;
  const value = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(value?.detail ?? `The server answered ${answer.status}.`);
  return value;
}

export const getOptions = () => ask("GET", "api/options");
export const startFusing = (bracket, request) => ask("POST", `api/brackets/${bracket}/jobs`, request);
export const startExport = (job, request) => ask("POST", `api/jobs/${job}/exports`, request);
export const getBracket = (bracket) => ask("GET", `api/brackets/${bracket}`);
export const getJobs = (bracket) => ask("GET", `api/brackets/${bracket}/jobs`);
export const sendMask = (bracket, png) => ask("POST", `api/brackets/${bracket}/masks`, png);
export const getJob = (job) => ask("GET", `api/jobs/${job}`);
export const removeJob = (job) => ask("DELETE", `api/jobs/${job}`);
export const removeBracket = (bracket) => ask("DELETE", `api/brackets/${bracket}`);

// Ask until a job is over; `tell` gets its facts each time.
export async function untilOver(job, tell) {
  let facts = job;
  let pause = 80;
  while (facts.state === "queued" || facts.state === "running") {
    tell(facts);
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 1.3, 500);
    facts = await getJob(job.id);
  }
  if (facts.state === "failed") throw new Error(facts.error);
  return facts;
}

// Upload photos; returns the bracket's promise and a function that stops it.
export function upload(files, tell) {
  const request = new XMLHttpRequest();
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  const bracket = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => tell(event.loaded / Math.max(event.total, 1));
    request.onload = () => {
      let value = null;
      try {
        value = JSON.parse(request.responseText);
      } catch { /* no answer of ours */ }
      if (request.status === 201 && value) resolve(value);
      else reject(new Error(value?.detail ?? `The server answered ${request.status}.`));
    };
    request.onerror = () => reject(new Error("The upload broke off. Is 'ghostless serve' still running?"));
    request.onabort = () => resolve(null);
    request.open("POST", "api/brackets");
    request.send(form);
  });
  return { bracket, stop: () => request.abort() };
}

// All files of a drop, those inside of folders too.
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      return;
    }
    const reader = entry.createReader();
    // A reader gives a folder in portions, and an empty one at its end.
    for (;;) {
      const portion = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!portion.length) break;
      for (const inside of portion) await walk(inside);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}
