// Looks at two pictures of one scene: a divider between them or side by side, from all of the
// picture down to single pixels. Previews are shown at once; tiles that hold every pixel are
// fetched as they come into sight.

const LARGEST_SCALE = 16;
const MOST_TILES = 120;
const STEP = 1.25;

export class Picture {
  // preview, tiles: where they are. tile: side of a tile, 0 if the preview has all. left, top: where
  // it lies on the photos, if they were cropped.
  constructor(title, preview, width, height, { tile = 0, tiles = "", query = "", left = 0, top = 0 } = {}) {
    Object.assign(this, { title, preview, width, height, tile, tiles, query, left, top });
  }

  tileAddress(column, row) {
    return `${this.tiles}/${column}/${row}.jpg${this.query}`;
  }
}

class Images {
  // Pictures by address, loaded when first asked for; the tiles used longest ago are let go of.
  constructor(onLoad) {
    this.onLoad = onLoad;
    this.known = new Map();
  }

  get(address) {
    let image = this.known.get(address);
    if (image) this.known.delete(address);
    else {
      image = new Image();
      image.onload = () => this.onLoad();
      image.src = address;
    }
    this.known.set(address, image);
    if (this.known.size > MOST_TILES) this.known.delete(this.known.keys().next().value);
    return image.complete && image.naturalWidth ? image : null;
  }

  has(address) {
    return Boolean(this.known.get(address)?.complete);
  }

  // Load a picture before it is drawn, so that the one before stays until then.
  async load(address) {
    const image = new Image();
    image.src = address;
    await image.decode().catch(() => { throw new Error("The picture could not be loaded."); });
    this.known.set(address, image);
  }
}

export class Viewer {
  constructor(canvas, divider, onChange) {
    Object.assign(this, { canvas, divider, onChange });
    this.context = canvas.getContext("2d");
    this.images = new Images(() => this.draw());
    this.left = this.right = this.layer = this.brush = this.cursor = null;
    this.mode = "slider";
    this.opacity = 0.7;
    this.split = 0.5;
    this.fitted = true;
    this.scale = 1; // device pixels per pixel of the picture
    this.centre = { x: 0, y: 0 }; // of the viewer, in pixels of the picture
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  show(left, right) {
    const size = right && this.right && right.width === this.right.width && right.height === this.right.height;
    this.left = left;
    this.right = right;
    if (right && (!size || this.fitted)) this.fit();
    this.draw();
  }

  has(address) {
    return this.images.has(address);
  }

  load(address) {
    return this.images.load(address);
  }

  setLayer(address, opacity) {
    this.layer = address;
    this.opacity = opacity;
    this.draw();
  }

  setMode(mode) {
    this.mode = mode;
    if (this.fitted) this.fit();
    this.draw();
  }

  get isDivided() {
    return this.mode === "slider" && this.left !== null && this.right !== null;
  }

  get isBeside() {
    return this.mode === "beside" && this.left !== null && this.right !== null;
  }

  // The area that one picture has, in device pixels.
  get room() {
    const { width, height } = this.canvas;
    return { width: this.isBeside ? width / 2 : width, height };
  }

  get fitScale() {
    const { width, height } = this.room;
    return Math.min(width / this.right.width, height / this.right.height);
  }

  fit() {
    if (!this.right) return;
    this.fitted = true;
    this.scale = this.fitScale;
    this.centre = { x: this.right.width / 2, y: this.right.height / 2 };
    this.draw();
  }

  // Zoom to a scale, keeping the picture still under a point of the viewer (device pixels).
  zoomTo(scale, point = null) {
    if (!this.right) return;
    const { width, height } = this.room;
    const at = point ?? { x: width / 2, y: height / 2 };
    const smallest = Math.min(this.fitScale, 1);
    const next = Math.min(Math.max(scale, smallest), LARGEST_SCALE);
    const away = { x: at.x - width / 2, y: at.y - height / 2 };
    this.centre.x += away.x / this.scale - away.x / next;
    this.centre.y += away.y / this.scale - away.y / next;
    this.scale = next;
    this.fitted = Math.abs(next - this.fitScale) < 1e-6;
    this.keepInside();
    this.draw();
  }

  zoomBy(factor, point = null) {
    this.zoomTo(this.scale * factor, point);
  }

  moveBy(x, y) {
    if (!this.right) return;
    this.centre.x -= x / this.scale;
    this.centre.y -= y / this.scale;
    this.keepInside();
    this.draw();
  }

  keepInside() {
    const { width, height } = this.room;
    const limit = (centre, size, room) => {
      const half = room / this.scale / 2;
      return size <= 2 * half ? size / 2 : Math.min(Math.max(centre, half), size - half);
    };
    this.centre.x = limit(this.centre.x, this.right.width, width);
    this.centre.y = limit(this.centre.y, this.right.height, height);
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(box.width * ratio));
    this.canvas.height = Math.max(1, Math.round(box.height * ratio));
    if (this.right && this.fitted) this.fit();
    else if (this.right) this.keepInside();
    this.draw();
  }

  draw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (this.right) {
      const middle = this.isBeside ? canvas.width / 2 : this.isDivided ? canvas.width * this.split : 0;
      if (middle > 0) this.drawPart(this.left, 0, middle, 0, false);
      this.drawPart(this.right, middle, canvas.width, this.isBeside ? middle : 0, true);
      if (this.isBeside) {
        context.fillStyle = "#fff";
        context.fillRect(middle - 1, 0, 2, canvas.height);
      }
    }
    if (this.right && this.brush?.active) this.drawCursor();
    canvas.classList.toggle("inside", !this.fitted);
    canvas.classList.toggle("painting", Boolean(this.brush?.active));
    this.divider.hidden = !this.isDivided;
    this.divider.style.left = `${100 * this.split}%`;
    this.divider.setAttribute("aria-valuenow", Math.round(100 * this.split));
    this.onChange(this);
  }

  // Draw one picture between two columns of the viewer; `offset` is where its room begins.
  drawPart(picture, from, to, offset, withLayer) {
    const { context, canvas, room } = this;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, canvas.height);
    context.clip();
    const place = {
      x: offset + room.width / 2 - this.centre.x * this.scale,
      y: room.height / 2 - this.centre.y * this.scale,
      width: this.right.width * this.scale,
      height: this.right.height * this.scale,
    };
    context.imageSmoothingEnabled = this.scale < 2;
    context.imageSmoothingQuality = "high";
    const preview = this.images.get(picture.preview);
    if (preview) context.drawImage(preview, place.x, place.y, place.width, place.height);
    if (picture.tile && (!preview || place.width > preview.naturalWidth * 1.1)) {
      this.drawTiles(picture, place, from, to);
    }
    if (withLayer && this.layer) {
      const layer = this.images.get(this.layer);
      context.globalAlpha = this.opacity;
      context.imageSmoothingEnabled = true;
      if (layer) context.drawImage(layer, place.x, place.y, place.width, place.height);
    }
    if (this.brush?.active) {
      context.globalAlpha = 0.5;
      context.imageSmoothingEnabled = true;
      const { left, top } = this.right; // what is painted has the photos' size
      context.drawImage(this.brush.painting, place.x - left * this.scale, place.y - top * this.scale,
        this.brush.width * this.scale, this.brush.height * this.scale);
    }
    context.restore();
  }

  // The brush: where the pointer is, or in the middle for who paints by keyboard.
  drawCursor() {
    const { context } = this;
    const at = this.cursor ?? (document.activeElement === this.canvas ? this.middle : null);
    if (!at) return;
    for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(at.x, at.y, this.brush.radius * this.scale, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  get middle() {
    return { x: this.room.width / 2, y: this.room.height / 2 };
  }

  // A point of the viewer (device pixels) in pixels of the picture.
  inPicture(point) {
    const { width, height } = this.room;
    return { x: (point.x - width / 2) / this.scale + this.centre.x, y: (point.y - height / 2) / this.scale + this.centre.y };
  }

  // The same in pixels of the photos.
  inPhoto(point) {
    const { x, y } = this.inPicture(point);
    return { x: x + this.right.left, y: y + this.right.top };
  }

  drawTiles(picture, place, from, to) {
    const side = { x: (picture.tile * place.width) / picture.width, y: (picture.tile * place.height) / picture.height };
    const last = { x: Math.ceil(picture.width / picture.tile) - 1, y: Math.ceil(picture.height / picture.tile) - 1 };
    const first = {
      column: Math.max(0, Math.floor((from - place.x) / side.x)),
      row: Math.max(0, Math.floor(-place.y / side.y)),
    };
    const end = {
      column: Math.min(last.x, Math.floor((to - place.x) / side.x)),
      row: Math.min(last.y, Math.floor((this.canvas.height - place.y) / side.y)),
    };
    for (let row = first.row; row <= end.row; row++) {
      for (let column = first.column; column <= end.column; column++) {
        const tile = this.images.get(picture.tileAddress(column, row));
        if (!tile) continue;
        // Edges on whole device pixels, so that no seam shows between tiles.
        const x = Math.round(place.x + column * side.x);
        const y = Math.round(place.y + row * side.y);
        const right = Math.round(place.x + (column + tile.naturalWidth / picture.tile) * side.x);
        const bottom = Math.round(place.y + (row + tile.naturalHeight / picture.tile) * side.y);
        this.context.drawImage(tile, x, y, right - x, bottom - y);
      }
    }
  }

  listen() {
    const { canvas, divider } = this;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), this.pointOf(event));
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => {
      if (this.fitted) this.zoomTo(1, this.pointOf(event));
      else this.fit();
    });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      const point = this.pointOf(event);
      this.pointers.set(event.pointerId, point);
      if (!this.brush?.active || !this.right) return;
      if (this.pointers.size > 1) this.brush.drop();
      else this.brush.begin(this.inPhoto(point));
    });
    canvas.addEventListener("pointermove", (event) => {
      this.cursor = this.pointOf(event);
      if (this.brush?.active) this.draw();
      this.drag(event);
    });
    canvas.addEventListener("pointerleave", () => { this.cursor = null; this.draw(); });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(kind, (event) => {
        this.pointers.delete(event.pointerId);
        this.brush?.end();
      });
    }
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => this.draw());
    canvas.addEventListener("keydown", (event) => this.key(event));
    divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener("pointermove", (event) => {
      if (divider.hasPointerCapture(event.pointerId)) this.splitAt(this.fractionOf(event));
    });
    divider.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.02;
      const to = { ArrowLeft: this.split - step, ArrowDown: this.split - step, ArrowRight: this.split + step, ArrowUp: this.split + step, Home: 0, End: 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.splitAt(to);
    });
  }

  splitAt(fraction) {
    this.split = Math.min(Math.max(fraction, 0), 1);
    this.draw();
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before || !this.right) return;
    const now = this.pointOf(event);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (point) => Math.max(8, Math.hypot(point.x - other.x, point.y - other.y));
      this.zoomBy(apart(now) / apart(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
      this.moveBy((now.x - before.x) / 2, (now.y - before.y) / 2);
    } else if (this.brush?.active) {
      this.brush.goOn(this.inPhoto(now));
    } else {
      this.moveBy(now.x - before.x, now.y - before.y);
    }
    this.pointers.set(event.pointerId, now);
  }

  key(event) {
    const step = 80 * (window.devicePixelRatio || 1);
    const deeds = {
      ArrowLeft: () => this.moveBy(step, 0),
      ArrowRight: () => this.moveBy(-step, 0),
      ArrowUp: () => this.moveBy(0, step),
      ArrowDown: () => this.moveBy(0, -step),
      "+": () => this.zoomBy(STEP),
      "=": () => this.zoomBy(STEP),
      "-": () => this.zoomBy(1 / STEP),
      0: () => this.fit(),
      1: () => this.zoomTo(1),
    };
    if (this.brush?.active) {
      deeds[" "] = () => this.paintInTheMiddle();
      deeds.z = deeds.Backspace = () => this.brush.undo();
    }
    if (!deeds[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    deeds[event.key]();
  }

  paintInTheMiddle() {
    this.cursor = null;
    this.brush.begin(this.inPhoto(this.middle));
    this.brush.end();
  }

  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    const x = (event.clientX - box.left) * ratio;
    return { x: this.isBeside ? x % (this.canvas.width / 2) : x, y: (event.clientY - box.top) * ratio };
  }

  fractionOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return (event.clientX - box.left) / box.width;
  }
}
