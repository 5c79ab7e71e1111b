// Ghosts by hand: paints on the picture which photo an area comes from, or that nothing is replaced
// there. Strokes are kept as lines, so that they can be undone, and become masks when they are sent.

import { pngOfMask } from "./png.js";

const LONGEST_SIDE = 2048; // of the painting, less than any telephone's limit
const COLOURS = ["#ff4fa3", "#35c8ff", "#ffb000", "#7ddf4c", "#b28dff", "#ff7a45", "#3ee6c0", "#e8e04a"];
const UNDECIDED = "undecided";
export const NOBODY = "none";

export class Brush {
  // onChange: called when strokes were added or taken away.
  constructor(viewer, onChange) {
    Object.assign(this, { viewer, onChange, strokes: [], source: NOBODY, share: 0.06, width: 1, height: 1 });
    this.painting = document.createElement("canvas");
    this.scratch = document.createElement("canvas");
    viewer.brush = this;
    this.active = false;
  }

  // Begin anew for photos of a size.
  reset(width, height, strokes = []) {
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    Object.assign(this, { width, height, strokes, scale });
    for (const canvas of [this.painting, this.scratch]) {
      canvas.width = Math.max(1, Math.round(width * scale));
      canvas.height = Math.max(1, Math.round(height * scale));
    }
    this.paintAgain();
  }

  setActive(active) {
    this.active = active;
    this.viewer.draw();
  }

  static colourOf(source) {
    return source === NOBODY ? "#ffffff" : COLOURS[Number(source) % COLOURS.length];
  }

  get radius() {
    return (this.share * Math.max(this.width, this.height)) / 2;
  }

  // ---- painting; points in pixels of the picture ----

  begin(point) {
    this.stroke = { source: this.source, radius: this.radius, points: [point] };
    this.strokes.push(this.stroke);
    this.draw(this.stroke);
  }

  goOn(point) {
    if (!this.stroke) return;
    this.stroke.points.push(point);
    this.draw({ ...this.stroke, points: this.stroke.points.slice(-2) });
  }

  end() {
    if (!this.stroke) return;
    this.stroke = null;
    this.onChange();
  }

  // A second finger came: this was no stroke.
  drop() {
    if (!this.stroke) return;
    this.stroke = null;
    this.strokes.pop();
    this.paintAgain();
  }

  undo() {
    if (!this.strokes.length) return;
    this.strokes.pop();
    this.paintAgain();
    this.onChange();
  }

  clear() {
    this.strokes = [];
    this.paintAgain();
    this.onChange();
  }

  paintAgain() {
    this.painting.getContext("2d").clearRect(0, 0, this.painting.width, this.painting.height);
    for (const stroke of this.strokes) this.draw(stroke);
    this.viewer.draw();
  }

  draw(stroke) {
    const undecided = stroke.source === UNDECIDED;
    line(this.painting, stroke, this.scale, undecided ? null : Brush.colourOf(stroke.source));
    this.viewer.draw();
  }

  // ---- masks ----

  // Sources of which something is painted still.
  get sources() {
    const named = new Set(this.strokes.map((stroke) => stroke.source));
    named.delete(UNDECIDED);
    return [...named];
  }

  // The masks that are not empty, as PNG of the photos' size: [{ source, png }].
  async masks() {
    const made = [];
    for (const source of this.sources) {
      const { width, height } = this.scratch;
      const context = this.scratch.getContext("2d", { willReadFrequently: true });
      context.clearRect(0, 0, width, height);
      for (const stroke of this.strokes) line(this.scratch, stroke, this.scale, stroke.source === source ? "#fff" : null);
      const pixels = context.getImageData(0, 0, width, height).data;
      const small = new Uint8Array(width * height);
      let painted = false;
      for (let place = 0; place < small.length; place++) {
        small[place] = pixels[4 * place + 3];
        painted ||= small[place] > 127;
      }
      if (painted) made.push({ source, png: await pngOfMask(small, width, height, this.width, this.height) });
    }
    return made;
  }
}

Brush.UNDECIDED = UNDECIDED;

// Draw a stroke onto a canvas; where `colour` is null it takes away what was there.
function line(canvas, stroke, scale, colour) {
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = colour ? "source-over" : "destination-out";
  context.strokeStyle = context.fillStyle = colour ?? "#000";
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = 2 * stroke.radius * scale;
  const [first, ...rest] = stroke.points;
  context.beginPath();
  // A line without length is drawn by some browsers and not by others.
  context.arc(first.x * scale, first.y * scale, stroke.radius * scale, 0, 2 * Math.PI);
  context.fill();
  context.beginPath();
  context.moveTo(first.x * scale, first.y * scale);
  for (const point of rest) context.lineTo(point.x * scale, point.y * scale);
  context.stroke();
  context.globalCompositeOperation = "source-over";
}
