// Tone by hand: a slider for every control that the server tells of, and what they stand at.

const STEPS = { exposure: 0.05, strength: 0.05 };
const WORDS = { strength: "Strength of the fusion" };

const inWords = (name) => WORDS[name] ?? name.replace(/^./, (letter) => letter.toUpperCase());

function shown(value, step) {
  const digits = step < 1 ? 2 : 0;
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}`;
}

export class Tone {
  // onInput: called at every move of a slider.
  constructor(place, reset, onInput) {
    Object.assign(this, { place, reset, onInput, inputs: new Map(), neutral: {} });
    reset.onclick = () => {
      this.set({});
      onInput();
      [...this.inputs.values()][0].focus(); // the button goes
    };
  }

  // schema: JSON schema of the controls, by name.
  build(schema) {
    for (const [name, { minimum, maximum, default: start, description }] of Object.entries(schema)) {
      const step = STEPS[name] ?? 1;
      const input = Object.assign(document.createElement("input"), {
        type: "range", id: `by-hand-${name}`, min: minimum, max: maximum, step, value: start, title: description ?? "",
      });
      input.dataset.tone = name;
      const output = Object.assign(document.createElement("output"), { htmlFor: input.id });
      const text = Object.assign(document.createElement("span"), { textContent: inWords(name) });
      const label = document.createElement("label");
      label.htmlFor = input.id; // an output before it would be taken for what the label names
      label.append(text, output, input);
      label.ondblclick = () => { this.set({ ...this.values, [name]: start }); this.onInput(); };
      input.oninput = () => { this.tell(); this.onInput(); };
      this.place.append(label);
      this.inputs.set(name, input);
      this.neutral[name] = start;
    }
    this.tell();
  }

  get values() {
    return Object.fromEntries([...this.inputs].map(([name, input]) => [name, Number(input.value)]));
  }

  set(values) {
    for (const [name, input] of this.inputs) input.value = String(values[name] ?? this.neutral[name]);
    this.tell();
  }

  get isNeutral() {
    return Object.entries(this.values).every(([name, value]) => value === this.neutral[name]);
  }

  // For an address; empty where nothing is changed.
  get query() {
    const changed = Object.entries(this.values).filter(([name, value]) => value !== this.neutral[name]);
    return new URLSearchParams(changed.map(([name, value]) => [name, String(value)])).toString();
  }

  tell() {
    for (const [name, input] of this.inputs) {
      const value = Number(input.value);
      const words = name === "strength" ? `${Math.round(100 * value)} %` : shown(value, Number(input.step));
      input.previousElementSibling.textContent = words;
      input.setAttribute("aria-valuetext", words);
    }
    this.reset.hidden = this.isNeutral;
  }
}
