// attention_grad_q: along the keys again. w = exp(score − lse), ds = w (do · v − do · o), dq = Σ ds · k.
// parts: (score, do · v − do · o) of each thread's columns.
var<workgroup> parts: array<vec2f, ROWS * THREADS>;

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
    own[i] = vector_q(batch, min(mine + i / A, QUERIES - 1u), i % A) * SCALE;
  }
  workgroupBarrier();
  var q: array<vec4f, PART_A>;
  var sum: array<vec4f, PART_A>;
  for (var c = 0u; c < PART_A; c++) { // unroll
    q[c] = own[owner * A + c * LANES + lane];
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    own[i] = vector_do(batch, min(mine + i / B, QUERIES - 1u), i % B);
  }
  workgroupBarrier();
  var g: array<vec4f, PART_B>;
  for (var c = 0u; c < PART_B; c++) { // unroll
    g[c] = own[owner * B + c * LANES + lane];
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    own[i] = vector_o(batch, min(mine + i / B, QUERIES - 1u), i % B);
  }
  workgroupBarrier();
  var along = vec4f();
  for (var c = 0u; c < PART_B; c++) { // unroll
    along += g[c] * own[owner * B + c * LANES + lane];
  }
  let lse = load_lse(batch, row);
  for (var first = 0u; first < KEYS; first += ROWS) {
    workgroupBarrier();
    for (var i = lid; i < ROWS * A; i += THREADS) {
      tile_a[i] = vector_k(batch, min(first + i / A, KEYS - 1u), i % A);
    }
    for (var i = lid; i < ROWS * B; i += THREADS) {
      tile_b[i] = vector_v(batch, min(first + i / B, KEYS - 1u), i % B);
    }
    workgroupBarrier();
    let count = min(TILE, KEYS - first);
    for (var j = 0u; j < count; j++) {
      var s = vec4f();
      for (var c = 0u; c < PART_A; c++) { // unroll
        s += q[c] * tile_a[j * A + c * LANES + lane];
      }
      var d = -along;
      for (var c = 0u; c < PART_B; c++) { // unroll
        d += g[c] * tile_b[j * B + c * LANES + lane];
      }
      parts[j * THREADS + lid] = vec2f(s.x + s.y + s.z + s.w, d.x + d.y + d.z + d.w);
    }
    workgroupBarrier();
    for (var j = 0u; j < count; j++) {
      var both = vec2f();
      for (var l = 0u; l < LANES; l++) {
        both += parts[j * THREADS + owner * LANES + l];
      }
      let ds = exp(both.x - lse) * both.y;
      for (var c = 0u; c < PART_A; c++) { // unroll
        sum[c] += ds * tile_a[j * A + c * LANES + lane];
      }
    }
  }
  for (var c = 0u; c < PART_A; c++) { // unroll
    own[owner * A + c * LANES + lane] = sum[c] * SCALE;
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * A; i += THREADS) {
    if (mine + i / A < QUERIES) {
      put_dq(batch, mine + i / A, i % A, own[i]);
    }
  }
}
