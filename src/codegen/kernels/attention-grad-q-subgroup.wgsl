// attention_grad_q by subgroups (see attention-lanes.wgsl): along the keys again. w = exp(score − lse), ds = w (do · v − do · o), dq = Σ ds · k.
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * OWNERS + lane / LANES;
  let part = lane % LANES;
  let row = min(mine, QUERIES - 1u);
  var q: array<vec4f, PART_A>;
  var sum: array<vec4f, PART_A>;
  for (var c = 0u; c < PART_A; c++) { // unroll
    q[c] = vector_q(batch, row, c * LANES + part) * SCALE;
  }
  var g: array<vec4f, PART_B>;
  var along = vec4f();
  for (var c = 0u; c < PART_B; c++) { // unroll
    g[c] = vector_do(batch, row, c * LANES + part);
    along += g[c] * vector_o(batch, row, c * LANES + part);
  }
  let lse = load_lse(batch, row);
  for (var first = 0u; first < KEYS; first += OWNERS) {
    let key = min(first + lane / LANES, KEYS - 1u);
    let count = min(OWNERS, KEYS - first);
    var k: array<vec4f, PART_A>;
    for (var c = 0u; c < PART_A; c++) { // unroll
      k[c] = vector_k(batch, key, c * LANES + part);
    }
    var v: array<vec4f, PART_B>;
    for (var c = 0u; c < PART_B; c++) { // unroll
      v[c] = vector_v(batch, key, c * LANES + part);
    }
    for (var j = 0u; j < count; j++) {
      let source = j * LANES + part;
      var s = vec4f();
      for (var c = 0u; c < PART_A; c++) { // unroll
        s += q[c] * subgroupShuffle(k[c], source);
      }
      var d = -along;
      for (var c = 0u; c < PART_B; c++) { // unroll
        d += g[c] * subgroupShuffle(v[c], source);
      }
      let ds = exp(together(s) - lse) * together(d);
      for (var c = 0u; c < PART_A; c++) { // unroll
        sum[c] += ds * subgroupShuffle(k[c], source);
      }
    }
  }
  if (mine < QUERIES) {
    for (var c = 0u; c < PART_A; c++) { // unroll
      put_dq(batch, row, c * LANES + part, sum[c] * SCALE);
    }
  }
}
