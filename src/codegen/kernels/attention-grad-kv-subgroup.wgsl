// attention_grad_kv by subgroups (see attention-lanes.wgsl): a row is a key, and the rows that go round are queries. w = exp(score − lse),
// dv = Σ w · do, ds = w (do · v − do · o), dk = Σ ds · q.
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(KEYS) * BATCHES) {
    return;
  }
  let batch = group / blocks(KEYS);
  let mine = (group % blocks(KEYS)) * OWNERS + lane / LANES;
  let part = lane % LANES;
  let row = min(mine, KEYS - 1u);
  var k: array<vec4f, PART_A>;
  var sum_k: array<vec4f, PART_A>;
  for (var c = 0u; c < PART_A; c++) { // unroll
    k[c] = vector_k(batch, row, c * LANES + part) * SCALE;
  }
  var v: array<vec4f, PART_B>;
  var sum_v: array<vec4f, PART_B>;
  for (var c = 0u; c < PART_B; c++) { // unroll
    v[c] = vector_v(batch, row, c * LANES + part);
  }
  for (var first = 0u; first < QUERIES; first += OWNERS) {
    let query = min(first + lane / LANES, QUERIES - 1u);
    let count = min(OWNERS, QUERIES - first);
    var q: array<vec4f, PART_A>;
    for (var c = 0u; c < PART_A; c++) { // unroll
      q[c] = vector_q(batch, query, c * LANES + part);
    }
    var g: array<vec4f, PART_B>;
    var both = vec4f();
    for (var c = 0u; c < PART_B; c++) { // unroll
      g[c] = vector_do(batch, query, c * LANES + part);
      both += g[c] * vector_o(batch, query, c * LANES + part);
    }
    let along = together(both);
    let lse = load_lse(batch, query);
    for (var j = 0u; j < count; j++) {
      let source = j * LANES + part;
      var s = vec4f();
      for (var c = 0u; c < PART_A; c++) { // unroll
        s += k[c] * subgroupShuffle(q[c], source);
      }
      var d = vec4f();
      for (var c = 0u; c < PART_B; c++) { // unroll
        d += v[c] * subgroupShuffle(g[c], source);
      }
      let w = exp(together(s) - subgroupShuffle(lse, source));
      let ds = w * (together(d) - subgroupShuffle(along, source));
      for (var c = 0u; c < PART_B; c++) { // unroll
        sum_v[c] += w * subgroupShuffle(g[c], source);
      }
      for (var c = 0u; c < PART_A; c++) { // unroll
        sum_k[c] += ds * subgroupShuffle(q[c], source);
      }
    }
  }
  if (mine < KEYS) {
    for (var c = 0u; c < PART_A; c++) { // unroll
      put_dk(batch, row, c * LANES + part, sum_k[c] * SCALE);
    }
    for (var c = 0u; c < PART_B; c++) { // unroll
      put_dv(batch, row, c * LANES + part, sum_v[c]);
    }
  }
}
