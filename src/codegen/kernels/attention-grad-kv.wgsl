// attention_grad_kv: keys go along the queries, whose q and do come in tiles. w = exp(score − lse), dv = Σ w · do, ds = w (do · v − do · o),
// dk = Σ ds · q. parts: (score, do · v − do · o) of each thread's columns; tile_along: do · o by vectors.
var<workgroup> parts: array<vec2f, ROWS * THREADS>;
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
    own[i] = vector_k(batch, min(mine + i / A, KEYS - 1u), i % A) * SCALE;
  }
  workgroupBarrier();
  var k: array<vec4f, PART_A>;
  var sum_k: array<vec4f, PART_A>;
  for (var c = 0u; c < PART_A; c++) { // unroll
    k[c] = own[owner * A + c * LANES + lane];
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    own[i] = vector_v(batch, min(mine + i / B, KEYS - 1u), i % B);
  }
  workgroupBarrier();
  var v: array<vec4f, PART_B>;
  var sum_v: array<vec4f, PART_B>;
  for (var c = 0u; c < PART_B; c++) { // unroll
    v[c] = own[owner * B + c * LANES + lane];
  }
  for (var first = 0u; first < QUERIES; first += ROWS) {
    workgroupBarrier();
    for (var i = lid; i < ROWS * A; i += THREADS) {
      tile_a[i] = vector_q(batch, min(first + i / A, QUERIES - 1u), i % A);
    }
    for (var i = lid; i < ROWS * B; i += THREADS) {
      let g = vector_do(batch, min(first + i / B, QUERIES - 1u), i % B);
      tile_b[i] = g;
      tile_along[i] = dot(g, vector_o(batch, min(first + i / B, QUERIES - 1u), i % B));
    }
    for (var j = lid; j < ROWS; j += THREADS) {
      tile_lse[j] = load_lse(batch, min(first + j, QUERIES - 1u));
    }
    workgroupBarrier();
    let count = min(TILE, QUERIES - first);
    for (var j = 0u; j < count; j++) {
      var s = vec4f();
      for (var c = 0u; c < PART_A; c++) { // unroll
        s += k[c] * tile_a[j * A + c * LANES + lane];
      }
      var d = vec4f();
      var along = 0.0;
      for (var c = 0u; c < PART_B; c++) { // unroll
        d += v[c] * tile_b[j * B + c * LANES + lane];
        along += tile_along[j * B + c * LANES + lane];
      }
      parts[j * THREADS + lid] = vec2f(s.x + s.y + s.z + s.w, d.x + d.y + d.z + d.w - along);
    }
    workgroupBarrier();
    for (var j = 0u; j < count; j++) {
      var both = vec2f();
      for (var l = 0u; l < LANES; l++) {
        both += parts[j * THREADS + owner * LANES + l];
      }
      let w = exp(both.x - tile_lse[j]);
      let ds = w * both.y;
      for (var c = 0u; c < PART_B; c++) { // unroll
        sum_v[c] += w * tile_b[j * B + c * LANES + lane];
      }
      for (var c = 0u; c < PART_A; c++) { // unroll
        sum_k[c] += ds * tile_a[j * A + c * LANES + lane];
      }
    }
  }
  workgroupBarrier();
  for (var c = 0u; c < PART_A; c++) { // unroll
    own[owner * A + c * LANES + lane] = sum_k[c] * SCALE;
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * A; i += THREADS) {
    if (mine + i / A < KEYS) {
      put_dk(batch, mine + i / A, i % A, own[i]);
    }
  }
  workgroupBarrier();
  for (var c = 0u; c < PART_B; c++) { // unroll
    own[owner * B + c * LANES + lane] = sum_v[c];
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    if (mine + i / B < KEYS) {
      put_dv(batch, mine + i / B, i % B, own[i]);
    }
  }
}
