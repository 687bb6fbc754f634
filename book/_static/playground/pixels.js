// The preprocessing of IconCLIP in whole numbers, bit for bit: Pillow's bicubic filter, torchvision's crop of the centre.
"use strict";
self.wiseftPixels = (function () {
  const SIZE = 48, BITS = 22; // Pillow's filter weights have 22 binary places
  const cubic = (x) => {
    const z = Math.abs(x);
    return z < 1 ? (1.5 * z - 2.5) * z * z + 1 : z < 2 ? (((z - 5) * z + 8) * z - 4) * -0.5 : 0;
  };
  const taps = (from, to) => Array.from({length: to}, (_, k) => {
    const scale = from / to, wide = Math.max(scale, 1), centre = (k + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - 2 * wide + 0.5));
    const high = Math.min(from, Math.trunc(centre + 2 * wide + 0.5));
    const raw = Array.from({length: high - low}, (_, i) => cubic((i + low - centre + 0.5) / wide));
    const sum = raw.reduce((a, b) => a + b, 0);
    return {low, weights: raw.map((v) => Math.trunc(v / sum * 2 ** BITS + (v < 0 ? -0.5 : 0.5)))};
  });
  const resizeRows = (image, width, height, to) => { // and turn, so that two calls resize both axes
    const out = new Uint8ClampedArray(3 * to * height);
    taps(width, to).forEach(({low, weights}, column) => {
      for (let row = 0; row < height; row++) for (let c = 0; c < 3; c++) {
        let sum = 2 ** (BITS - 1);
        for (let k = 0, at = 3 * (row * width + low) + c; k < weights.length; k++, at += 3) sum += weights[k] * image[at];
        out[3 * (column * height + row) + c] = sum >> BITS;
      }
    });
    return out;
  };
  const halfToEven = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

  /** The 48 x 48 RGB pixels that the model sees of an opaque RGBA image: the shorter edge is resized to 48. */
  return (rgba, width, height) => {
    const rgb = new Uint8ClampedArray(3 * width * height), shorter = Math.min(width, height);
    for (let k = 0; k < rgb.length; k++) rgb[k] = rgba[4 * Math.floor(k / 3) + k % 3];
    const [wide, tall] = [width, height].map((edge) => Math.trunc(SIZE * edge / shorter));
    const resized = resizeRows(resizeRows(rgb, width, height, wide), height, wide, tall);
    const left = halfToEven((wide - SIZE) / 2), top = halfToEven((tall - SIZE) / 2);
    return Uint8Array.from({length: 3 * SIZE * SIZE}, (_, k) => {
      const row = Math.floor(k / (3 * SIZE)), rest = k % (3 * SIZE);
      return resized[3 * ((top + row) * wide + left) + rest];
    });
  };
})();
