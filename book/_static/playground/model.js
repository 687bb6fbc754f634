// The image encoder of the playground, in plain JavaScript: weights are mixed at alpha, one matrix at a time, and the
// forward pass is run. The functions use no other outer names, so that a worker can be made from their texts.
"use strict";
function wiseftDecode(text) { // base 85: five letters for four bytes
  const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
  const digit = new Uint8Array(128), view = new DataView(new ArrayBuffer(text.length / 5 * 4));
  for (let k = 0; k < 85; k++) digit[letters.charCodeAt(k)] = k;
  for (let k = 0, at = 0; k < text.length; k += 5, at += 4) {
    let value = 0;
    for (let j = 0; j < 5; j++) value = value * 85 + digit[text.charCodeAt(k + j)];
    view.setUint32(at, value);
  }
  return new Uint8Array(view.buffer);
}
function wiseftUnpack(texts, length) { // the promise of the bytes that the scripts hold, of which `length` compressed ones
  const parts = texts.map(wiseftDecode), packed = new Blob(parts).slice(0, length);
  return new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}
function wiseftModel(data, bytes) {
  const WIDTH = 192, HEADS = 6, HEAD = 32, LAYERS = 6, TOKENS = 17, PATCH = 12, SIZE = 48;
  const ROWS = 18; // tokens, rounded up to the blocks of `linear`; what the last rows hold is never read

  // --- weights: 16 bits each, 10 for theta_0 and 5 for the difference; see wiseft_lite/book/playground.py
  let at = 0;
  const take = (Kind, count) => {
    const found = new Kind(bytes, at, count);
    at += found.byteLength;
    return found;
  };
  const tensors = new Map(data.tensors.map(([name, shape]) => {
    const n = shape[0], m = shape.slice(1).reduce((a, b) => a * b, 1);
    const first = take(Float32Array, n), second = take(Float32Array, n);
    if (shape.length === 1) return [name, {n, m, theta0: first, theta1: first.map((start, k) => start + second[k])}];
    const low = take(Uint8Array, n * m), high = take(Uint8Array, n * m);
    const theta0 = new Float32Array(n * m), theta1 = new Float32Array(n * m);
    for (let row = 0, k = 0; row < n; row++) for (const end = k + m; k < end; k++) {
      const word = high[k] << 8 | low[k];
      theta0[k] = first[row] * ((word >> 5) - 512);
      theta1[k] = theta0[k] + second[row] * ((word & 31) - 16);
    }
    return [name, {n, m, theta0, theta1}];
  }));
  const mix = (name, alpha, mixed) => { // the method: (1 - alpha) theta_0 + alpha theta_1
    const {theta0, theta1} = tensors.get(name);
    for (let k = 0; k < theta0.length; k++) mixed[k] = (1 - alpha) * theta0[k] + alpha * theta1[k];
    return mixed;
  };
  const vector = (name, alpha) => mix(name, alpha, new Float64Array(tensors.get(name).n));
  const scratch = new Float32Array(4 * WIDTH * WIDTH); // one matrix at a time, so that it stays in the cache
  const matrix = (name, alpha) => {
    if (alpha === 0) return tensors.get(name).theta0;
    return alpha === 1 ? tensors.get(name).theta1 : mix(name, alpha, scratch);
  };

  // --- layers, on rows of numbers
  const linear = (x, rows, name, alpha, bias) => { // x @ W.T + b: four outputs of three rows at a time
    const {n, m} = tensors.get(name), w = matrix(name, alpha), b = bias ? vector(bias, alpha) : new Float64Array(n);
    const y = new Float64Array(ROWS * n);
    for (let out = 0; out < n; out += 4) {
      const p = out * m, q = p + m, r = q + m, s = r + m;
      for (let row = 0; row < rows; row += 3) {
        const t = row * m, u = t + m, v = u + m;
        let a0 = 0, b0 = 0, c0 = 0, d0 = 0, a1 = 0, b1 = 0, c1 = 0, d1 = 0, a2 = 0, b2 = 0, c2 = 0, d2 = 0;
        for (let k = 0; k < m; k++) {
          const wa = w[p + k], wb = w[q + k], wc = w[r + k], wd = w[s + k], x0 = x[t + k], x1 = x[u + k], x2 = x[v + k];
          a0 += wa * x0; b0 += wb * x0; c0 += wc * x0; d0 += wd * x0;
          a1 += wa * x1; b1 += wb * x1; c1 += wc * x1; d1 += wd * x1;
          a2 += wa * x2; b2 += wb * x2; c2 += wc * x2; d2 += wd * x2;
        }
        for (const [k, found] of [[a0, b0, c0, d0], [a1, b1, c1, d1], [a2, b2, c2, d2]].entries()) {
          for (let j = 0; j < 4; j++) y[(row + k) * n + out + j] = found[j] + b[out + j];
        }
      }
    }
    return y;
  };
  const layerNorm = (x, rows, name, alpha) => {
    const gain = vector(`${name}.weight`, alpha), shift = vector(`${name}.bias`, alpha), y = new Float64Array(x.length);
    for (let start = 0; start < rows * WIDTH; start += WIDTH) {
      let mean = 0, square = 0;
      for (let k = 0; k < WIDTH; k++) mean += x[start + k] / WIDTH;
      for (let k = 0; k < WIDTH; k++) square += (x[start + k] - mean) ** 2 / WIDTH;
      const scale = 1 / Math.sqrt(square + 1e-5);
      for (let k = 0; k < WIDTH; k++) y[start + k] = (x[start + k] - mean) * scale * gain[k] + shift[k];
    }
    return y;
  };
  const gelu = (v) => { // x Phi(x); erf by Abramowitz and Stegun, 7.1.26, to 1.5e-7
    const z = Math.abs(v) * Math.SQRT1_2, t = 1 / (1 + 0.3275911 * z);
    const poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    const erf = 1 - poly * Math.exp(-z * z);
    return 0.5 * v * (1 + (v < 0 ? -erf : erf));
  };
  const attention = (qkv, queries) => { // softmax(q k' / sqrt(d)) v, head by head
    const y = new Float64Array(ROWS * WIDTH), weights = new Float64Array(TOKENS);
    for (let head = 0; head < HEADS; head++) for (let i = 0; i < queries; i++) {
      const q = i * 3 * WIDTH + head * HEAD, out = i * WIDTH + head * HEAD;
      let sum = 0;
      for (let j = 0; j < TOKENS; j++) {
        const key = j * 3 * WIDTH + WIDTH + head * HEAD;
        let score = 0;
        for (let k = 0; k < HEAD; k++) score += qkv[q + k] * qkv[key + k];
        sum += weights[j] = Math.exp(score / Math.sqrt(HEAD)); // in float64 these scores cannot overflow
      }
      for (let j = 0; j < TOKENS; j++) {
        const value = j * 3 * WIDTH + 2 * WIDTH + head * HEAD, weight = weights[j] / sum;
        for (let k = 0; k < HEAD; k++) y[out + k] += weight * qkv[value + k];
      }
    }
    return y;
  };
  const add = (x, y, rows) => { for (let k = 0; k < rows * WIDTH; k++) x[k] += y[k]; };

  // --- the model: normalised features, and logits
  const encode = (pixels, alpha) => {
    const patches = new Float64Array(ROWS * 3 * PATCH * PATCH), side = SIZE / PATCH;
    let at = 0;
    for (let p = 0; p < side * side; p++) for (let c = 0; c < 3; c++) for (let i = 0; i < PATCH * PATCH; i++) {
      const row = Math.floor(p / side) * PATCH + Math.floor(i / PATCH), column = p % side * PATCH + i % PATCH;
      patches[at++] = (pixels[3 * (row * SIZE + column) + c] / 255 - 0.5) / 0.5;
    }
    const embedded = linear(patches, TOKENS - 1, "encoder.conv1.weight", alpha);
    let x = new Float64Array(ROWS * WIDTH);
    x.set(vector("encoder.class_embedding", alpha));
    x.set(embedded.subarray(0, (TOKENS - 1) * WIDTH), WIDTH);
    add(x, matrix("encoder.positional_embedding", alpha), TOKENS);
    x = layerNorm(x, TOKENS, "encoder.ln_pre", alpha);
    for (let layer = 0; layer < LAYERS; layer++) {
      const block = `encoder.transformer.resblocks.${layer}`, last = layer === LAYERS - 1;
      const rows = last ? 1 : TOKENS; // after the last block only the class token is read
      const weights = (x, rows, name, kind = ".") =>
        linear(x, rows, `${block}.${name}${kind}weight`, alpha, `${block}.${name}${kind}bias`);
      const seen = layerNorm(x, TOKENS, `${block}.ln_1`, alpha);
      const mixed = attention(weights(seen, TOKENS, "attn.in_proj", "_"), rows);
      add(x, weights(mixed, rows, "attn.out_proj"), rows);
      const hidden = weights(layerNorm(x, rows, `${block}.ln_2`, alpha), rows, "mlp.c_fc");
      for (let k = 0; k < rows * 4 * WIDTH; k++) hidden[k] = gelu(hidden[k]);
      add(x, weights(hidden, rows, "mlp.c_proj"), rows);
    }
    const pooled = layerNorm(x, 1, "encoder.ln_post", alpha), {n, m} = tensors.get("encoder.proj");
    const projection = matrix("encoder.proj", alpha), features = new Float64Array(m);
    for (let i = 0; i < n; i++) for (let k = 0; k < m; k++) features[k] += pooled[i] * projection[i * m + k];
    const norm = Math.hypot(...features);
    return features.map((v) => v / norm);
  };
  const logits = (features, alpha) => {
    const {n, m} = tensors.get("head.weight"), w = matrix("head.weight", alpha), y = vector("head.bias", alpha);
    for (let c = 0; c < n; c++) for (let k = 0; k < m; k++) y[c] += w[c * m + k] * features[k];
    return y;
  };
  return {encode, logits};
}
