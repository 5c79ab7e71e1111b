// Writes a mask as a PNG of one bit a pixel, row by row: no canvas is asked for the size of a photo,
// which telephones do not have.

const CRC = Uint32Array.from({ length: 256 }, (_, start) => {
  let value = start;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

function chunk(kind, data) {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set([...kind].map((letter) => letter.charCodeAt(0)), 4);
  bytes.set(data, 8);
  let crc = 0xffffffff;
  for (let place = 4; place < bytes.length - 4; place++) crc = CRC[(crc ^ bytes[place]) & 255] ^ (crc >>> 8);
  view.setUint32(bytes.length - 4, ~crc >>> 0);
  return bytes;
}

// One bit for every pixel of (width, height): white where a smaller picture of bytes, enlarged
// smoothly, is at least half. Every row begins with the byte for "not filtered".
function bitsOf(small, smallWidth, smallHeight, width, height) {
  const stride = Math.ceil(width / 8) + 1;
  const bits = new Uint8Array(stride * height);
  const across = Float32Array.from({ length: width }, (_, x) => ((x + 0.5) * smallWidth) / width - 0.5);
  for (let y = 0; y < height; y++) {
    const at = Math.min(Math.max(((y + 0.5) * smallHeight) / height - 0.5, 0), smallHeight - 1);
    const top = Math.floor(at) * smallWidth;
    const bottom = Math.min(Math.floor(at) + 1, smallHeight - 1) * smallWidth;
    const down = at % 1;
    for (let x = 0; x < width; x++) {
      const place = Math.min(Math.max(across[x], 0), smallWidth - 1);
      const left = Math.floor(place);
      const right = Math.min(left + 1, smallWidth - 1);
      const over = place - left;
      const above = small[top + left] * (1 - over) + small[top + right] * over;
      const below = small[bottom + left] * (1 - over) + small[bottom + right] * over;
      if (above * (1 - down) + below * down >= 127.5) bits[y * stride + 1 + (x >> 3)] |= 128 >> (x & 7);
    }
  }
  return bits;
}

export async function pngOfMask(small, smallWidth, smallHeight, width, height) {
  const bits = bitsOf(small, smallWidth, smallHeight, width, height);
  const packed = new Blob([bits]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 1; // bits a pixel, of grey
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const parts = [signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", new Uint8Array(0))];
  return new Blob(parts, { type: "image/png" });
}
