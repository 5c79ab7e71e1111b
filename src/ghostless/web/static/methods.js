// The methods: what each is good for, how long it will take, and why one cannot be used here.

const SECONDS_THAT_TELL = 1;

const inWords = (text) => text.replace(/^./, (letter) => letter.toUpperCase());

function element(name, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inside);
  return made;
}

// A length of time as people say it; nothing is known to the second before.
export function about(seconds) {
  if (seconds < 1.5) return "about a second";
  if (seconds < 10) return `about ${Math.round(seconds)} s`;
  if (seconds < 90) return `about ${5 * Math.round(seconds / 5)} s`;
  return `about ${Math.round(seconds / 60)} minutes`;
}

export class Methods {
  // select: where one is chosen. list: where each has its line. onChoice: called when a line chose.
  // isNamed: tells whether the preset has settings of a method's own.
  constructor(select, list, { onChoice, isNamed }) {
    Object.assign(this, { select, list, onChoice, isNamed, methods: [], photos: [], paces: new Map(), pace: 1 });
  }

  // methods: as the server offers them. usual: the name of what "auto" takes; byCount: for other
  // numbers of photos.
  offer(methods, usual, byCount) {
    Object.assign(this, { methods, usual, byCount });
    this.show([]);
  }

  // Show what there is for these photos; what cannot take them is not offered.
  show(photos) {
    this.photos = photos;
    const usable = this.methods.filter((method) => !this.whyNot(method));
    const group = (label, name) => {
      const those = usable.filter((method) => method.group === name);
      const options = those.map((method) => element("option", { value: method.name, textContent: method.name }));
      return options.length ? [element("optgroup", { label }, ...options)] : [];
    };
    const before = this.select.value;
    const automatic = element("option", { value: "auto", textContent: `Automatic (${this.automatic})` });
    this.select.replaceChildren(automatic, ...group("For photographs", "use"), ...group("To compare with", "compare"));
    this.choose(before);
    this.tell();
  }

  // Choose a method by name; one that is not offered gives way to the automatic choice.
  choose(name) {
    this.select.value = name;
    if (!this.select.value) this.select.value = "auto";
  }

  // What the server takes for "auto", which goes by the number of photos.
  get automaticByCount() {
    return this.byCount[this.photos.length] ?? this.usual;
  }

  // What "auto" takes: that, or the one of all it may take that alone has settings in the preset.
  get automatic() {
    const names = new Set([this.usual, ...Object.values(this.byCount)]);
    const named = this.methods.filter((method) => names.has(method.name) && this.isNamed(method));
    return named.length === 1 ? named[0].name : this.automaticByCount;
  }

  // The name to ask the server for.
  get asked() {
    const { value } = this.select;
    return value === "auto" && this.automatic !== this.automaticByCount ? this.automatic : value;
  }

  get chosen() {
    const name = this.select.value === "auto" ? this.automatic : this.select.value;
    return this.methods.find((method) => method.name === name);
  }

  whyNot(method) {
    if (!method.available) return method.why_not;
    const [fewest, most] = method.frames;
    const count = this.photos.length;
    if (!count || (count >= fewest && count <= most)) return null;
    return `it takes ${fewest === most ? fewest : `${fewest} to ${most}`} photos, and here are ${count}`;
  }

  // Seconds that fusing will take, without reading and alignment; null where nobody measured it.
  secondsOf(method) {
    if (!method.seconds || !this.photos.length) return null;
    const [first, each] = method.seconds;
    const megapixels = (this.photos[0].width * this.photos[0].height) / 1e6;
    const told = ((first + each * megapixels) * this.photos.length) / 3;
    return told * (this.paces.get(method.name) ?? this.pace);
  }

  // Learn from a run how fast this server is.
  learn(name, seconds) {
    const method = this.methods.find((each) => each.name === name);
    const before = this.pace;
    this.paces.delete(name);
    this.pace = 1;
    const told = method && this.secondsOf(method);
    this.pace = before;
    if (!told || !seconds) return;
    this.paces.set(name, seconds / told);
    // A run of moments tells little of others.
    if (told >= SECONDS_THAT_TELL) this.pace = seconds / told;
    this.tell();
  }

  // What is said of a method where it is chosen.
  inWords(method) {
    const seconds = this.secondsOf(method);
    return `${inWords(method.summary)}.${seconds === null ? "" : ` Fuses these photos in ${about(seconds)}.`}`;
  }

  // A line for each: those that can be chosen first.
  tell() {
    const lines = { use: [], compare: [], absent: [] };
    for (const method of this.methods) {
      const why = this.whyNot(method);
      lines[why ? "absent" : method.group].push(why ? this.absentLine(method, why) : this.line(method));
    }
    const part = (name, title) => (lines[name].length
      ? [element("section", {}, element("h3", { textContent: title }), element("ul", {}, ...lines[name]))] : []);
    const absent = lines.absent.length
      ? [element("details", {}, element("summary", { textContent: `Not to be used here: ${lines.absent.length}` }), element("ul", {}, ...lines.absent))] : [];
    this.list.replaceChildren(...part("use", "For photographs"), ...part("compare", "To compare with"), ...absent);
    this.mark();
  }

  line(method) {
    const seconds = this.secondsOf(method);
    const words = [element("b", { textContent: method.name }), element("span", { textContent: inWords(method.summary) })];
    if (seconds !== null) words.push(element("span", { className: "seconds", textContent: about(seconds) }));
    const button = element("button", { type: "button" }, ...words);
    button.dataset.method = method.name;
    button.onclick = () => { this.choose(method.name); this.onChoice(); };
    return element("li", {}, button);
  }

  absentLine(method, why) {
    return element("li", { className: "absent" }, element("b", { textContent: method.name }),
      element("span", { textContent: inWords(method.summary) }), element("span", { className: "seconds", textContent: `Not here: ${why}` }));
  }

  // Say which one is chosen, without making the lines anew: the focus stays.
  mark() {
    this.select.options[0].textContent = `Automatic (${this.automatic})`;
    for (const button of this.list.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.method === this.chosen?.name));
    }
  }
}
