// attention_grad_kv: keys go along the queries, whose q and do come in tiles. w = exp(score − lse), dv = Σ w · do, ds = w (do · v − do · o),
// dk = Σ ds · q. parts: (score, do · v − do · o) of each thread's columns; scores: (w, ds); tile_along: do · o by vectors.
var<workgroup> parts: array<vec2f, ROWS * THREADS>;
var<workgroup> scores: array<vec2f, ROWS * OWNERS>;
var<workgroup> tile_lse: array<f32, ROWS>;
var<workgroup> tile_along: array<f32, ROWS * B>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let group = group_id(wid);
  if (group >= blocks(KEYS) * BATCHES) {
    return;
  }
  let batch = group / blocks(KEYS);
  let mine = (group % blocks(KEYS)) * OWNERS;
  let owner = lid / LANES;
  let lane = lid % LANES;
  for (var i = lid; i < OWNERS * A; i += THREADS) {
    memory[i] = vector_k(batch, min(mine + i / A, KEYS - 1u), i % A) * SCALE;
  }
  workgroupBarrier();
  var k: array<vec4f, PART_A>;
  var sum_k: array<vec4f, PART_A>;
  for (var c = 0u; c < PART_A; c++) { // unroll
    k[c] = memory[owner * A + c * LANES + lane];
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    memory[i] = vector_v(batch, min(mine + i / B, KEYS - 1u), i % B);
  }
  workgroupBarrier();
  var v: array<vec4f, PART_B>;
  var sum_v: array<vec4f, PART_B>;
  for (var c = 0u; c < PART_B; c++) { // unroll
    v[c] = memory[owner * B + c * LANES + lane];
  }
  var next_a: array<vec4f, LOADS_A>;
  var next_b: array<vec4f, LOADS_B>;
  var next_along: array<f32, LOADS_B>;
  var next_lse = 0.0;
  // One tile behind what is fetched: before the first there is nothing to do, after the last nothing to fetch.
  for (var first = 0u; first < QUERIES + ROWS; first += ROWS) {
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
          tile_along[f * THREADS + lid] = next_along[f];
        }
      }
      if (lid < ROWS) {
        tile_lse[lid] = next_lse;
      }
    }
    workgroupBarrier();
    if (first < QUERIES) {
      for (var f = 0u; f < LOADS_A; f++) {
        next_a[f] = vector_q(batch, min(first + (f * THREADS + lid) / A, QUERIES - 1u), (f * THREADS + lid) % A);
      }
      for (var f = 0u; f < LOADS_B; f++) {
        next_b[f] = vector_do(batch, min(first + (f * THREADS + lid) / B, QUERIES - 1u), (f * THREADS + lid) % B);
        next_along[f] = dot(
          next_b[f],
          vector_o(batch, min(first + (f * THREADS + lid) / B, QUERIES - 1u), (f * THREADS + lid) % B)
        );
      }
      next_lse = load_lse(batch, min(first + lid, QUERIES - 1u));
    }
    if (first == 0u) {
      continue;
    }
    let count = min(TILE, QUERIES + ROWS - first);
    for (var j = 0u; j < count; j++) {
      var s = vec4f();
      for (var c = 0u; c < PART_A; c++) { // unroll
        s += k[c] * memory[j * A + c * LANES + lane];
      }
      var d = vec4f();
      var along = 0.0;
      for (var c = 0u; c < PART_B; c++) { // unroll
        d += v[c] * memory[AT_B + j * B + c * LANES + lane];
        along += tile_along[j * B + c * LANES + lane];
      }
      parts[j * THREADS + lid] = vec2f(s.x + s.y + s.z + s.w, d.x + d.y + d.z + d.w - along);
    }
    workgroupBarrier();
    for (var j = lane; j < count; j += LANES) {
      var both = vec2f();
      for (var l = 0u; l < LANES; l++) {
        both += parts[j * THREADS + owner * LANES + l];
      }
      let w = exp(both.x - tile_lse[j]);
      scores[j * OWNERS + owner] = vec2f(w, w * both.y);
    }
    workgroupBarrier();
    for (var j = 0u; j < count; j++) {
      let both = scores[j * OWNERS + owner];
      for (var c = 0u; c < PART_B; c++) { // unroll
        sum_v[c] += both.x * memory[AT_B + j * B + c * LANES + lane];
      }
      for (var c = 0u; c < PART_A; c++) { // unroll
        sum_k[c] += both.y * memory[j * A + c * LANES + lane];
      }
    }
  }
  workgroupBarrier();
  for (var c = 0u; c < PART_A; c++) { // unroll
    memory[owner * A + c * LANES + lane] = sum_k[c] * SCALE;
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * A; i += THREADS) {
    if (mine + i / A < KEYS) {
      put_dk(batch, mine + i / A, i % A, memory[i]);
    }
  }
  workgroupBarrier();
  for (var c = 0u; c < PART_B; c++) { // unroll
    memory[owner * B + c * LANES + lane] = sum_v[c];
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    if (mine + i / B < KEYS) {
      put_dv(batch, mine + i / B, i % B, memory[i]);
    }
  }
}
