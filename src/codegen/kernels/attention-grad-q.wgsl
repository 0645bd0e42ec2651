// attention_grad_q: along the keys again. w = exp(score − lse), ds = w (do · v − do · o), dq = Σ ds · k.
// parts: (score, do · v − do · o) of each thread's columns; scores: ds.
var<workgroup> parts: array<vec2f, ROWS * THREADS>;
var<workgroup> scores: array<f32, ROWS * OWNERS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * OWNERS;
  let owner = lid / LANES;
  let lane = lid % LANES;
  // Threads past the last row repeat it, so that all meet at every barrier.
  let row = min(mine + owner, QUERIES - 1u);
  for (var i = lid; i < OWNERS * A; i += THREADS) {
    memory[i] = vector_q(batch, min(mine + i / A, QUERIES - 1u), i % A) * SCALE;
  }
  workgroupBarrier();
  var q: array<vec4f, PART_A>;
  var sum: array<vec4f, PART_A>;
  for (var c = 0u; c < PART_A; c++) { // unroll
    q[c] = memory[owner * A + c * LANES + lane];
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    memory[i] = vector_do(batch, min(mine + i / B, QUERIES - 1u), i % B);
  }
  workgroupBarrier();
  var g: array<vec4f, PART_B>;
  for (var c = 0u; c < PART_B; c++) { // unroll
    g[c] = memory[owner * B + c * LANES + lane];
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    memory[i] = vector_o(batch, min(mine + i / B, QUERIES - 1u), i % B);
  }
  workgroupBarrier();
  var along = vec4f();
  for (var c = 0u; c < PART_B; c++) { // unroll
    along += g[c] * memory[owner * B + c * LANES + lane];
  }
  let lse = load_lse(batch, row);
  var next_a: array<vec4f, LOADS_A>;
  var next_b: array<vec4f, LOADS_B>;
  // One tile behind what is fetched: before the first there is nothing to do, after the last nothing to fetch.
  for (var first = 0u; first < KEYS + ROWS; first += ROWS) {
    workgroupBarrier();
    if (first > 0u) {
      for (var f = 0u; f < LOADS_A; f++) {
        if (f * THREADS + lid < ROWS * A) {
          memory[f * THREADS + lid] = next_a[f];
        }
      }
      for (var f = 0u; f < LOADS_B; f++) {
        if (f * THREADS + lid < ROWS * B) {
          memory[AT_B + f * THREADS + lid] = next_b[f];
        }
      }
    }
    workgroupBarrier();
    if (first < KEYS) {
      for (var f = 0u; f < LOADS_A; f++) {
        next_a[f] = vector_k(batch, min(first + (f * THREADS + lid) / A, KEYS - 1u), (f * THREADS + lid) % A);
      }
      for (var f = 0u; f < LOADS_B; f++) {
        next_b[f] = vector_v(batch, min(first + (f * THREADS + lid) / B, KEYS - 1u), (f * THREADS + lid) % B);
      }
    }
    if (first == 0u) {
      continue;
    }
    let count = min(TILE, KEYS + ROWS - first);
    for (var j = 0u; j < count; j++) {
      var s = vec4f();
      for (var c = 0u; c < PART_A; c++) { // unroll
        s += q[c] * memory[j * A + c * LANES + lane];
      }
      var d = -along;
      for (var c = 0u; c < PART_B; c++) { // unroll
        d += g[c] * memory[AT_B + j * B + c * LANES + lane];
      }
      parts[j * THREADS + lid] = vec2f(s.x + s.y + s.z + s.w, d.x + d.y + d.z + d.w);
    }
    workgroupBarrier();
    for (var j = lane; j < count; j += LANES) {
      var both = vec2f();
      for (var l = 0u; l < LANES; l++) {
        both += parts[j * THREADS + owner * LANES + l];
      }
      scores[j * OWNERS + owner] = exp(both.x - lse) * both.y;
    }
    workgroupBarrier();
    for (var j = 0u; j < count; j++) {
      let ds = scores[j * OWNERS + owner];
      for (var c = 0u; c < PART_A; c++) { // unroll
        sum[c] += ds * memory[j * A + c * LANES + lane];
      }
    }
  }
  workgroupBarrier();
  for (var c = 0u; c < PART_A; c++) { // unroll
    memory[owner * A + c * LANES + lane] = sum[c] * SCALE;
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * A; i += THREADS) {
    if (mine + i / A < QUERIES) {
      put_dq(batch, mine + i / A, i % A, memory[i]);
    }
  }
}
