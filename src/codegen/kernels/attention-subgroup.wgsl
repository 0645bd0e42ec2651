// attention by subgroups (see attention-lanes.wgsl): of each block of keys the scores are found first, then what was summed before is brought
// to the new largest score, then their values are added (online softmax).
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * TM;
  var sum: array<vec4f, TM * PART_B>;
  var peak: array<f32, TM>;
  var total: array<f32, TM>;
  for (var r = 0u; r < TM; r++) { // unroll
    peak[r] = -3.4028234663852886e38f;
  }
  var own_q: array<u32, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // unroll
    own_q[i] = start_q(batch, min(mine + i * S + lane, QUERIES - 1u));
  }
  for (var first = 0u; first < KEYS; first += 4u * S) {
    let key = first + 4u * lane;
    let at0 = start_k(batch, min(key, KEYS - 1u));
    let at1 = start_k(batch, min(key + 1u, KEYS - 1u));
    let at2 = start_k(batch, min(key + 2u, KEYS - 1u));
    let at3 = start_k(batch, min(key + 3u, KEYS - 1u));
    var s = array<vec4f, TM>();
    for (var c = 0u; c < A; c++) {
      var own: array<vec4f, LOADS>;
      for (var i = 0u; i < LOADS; i++) { // unroll
        own[i] = vector_q(own_q[i], c);
      }
      let k0 = vector_k(at0, c);
      let k1 = vector_k(at1, c);
      let k2 = vector_k(at2, c);
      let k3 = vector_k(at3, c);
      for (var r = 0u; r < TM; r++) { // unroll
        s[r] += four_products(subgroupBroadcast(own[r / S], r % S), k0, k1, k2, k3);
      }
    }
    let inside = within(key, KEYS);
    for (var r = 0u; r < TM; r++) { // unroll
      let x = select(vec4f(-3.4028234663852886e38f), s[r] * SCALE, inside);
      let top = max(peak[r], subgroupMax(max(max(x.x, x.y), max(x.z, x.w))));
      let shrink = exp(peak[r] - top);
      peak[r] = top;
      s[r] = exp(x - top);
      total[r] = total[r] * shrink + sum_of(s[r]);
      for (var c = 0u; c < PART_B; c++) { // unroll
        sum[r * PART_B + c] *= shrink;
      }
    }
    for (var j = 0u; j < min(4u * S, KEYS - first); j++) {
      let at = start_v(batch, first + j);
      var v: array<vec4f, PART_B>;
      for (var c = 0u; c < PART_B; c++) { // unroll
        v[c] = vector_v(at, c * S + lane);
      }
      for (var r = 0u; r < TM; r++) { // unroll
        let w = handed_round(s[r], j);
        for (var c = 0u; c < PART_B; c++) { // unroll
          sum[r * PART_B + c] += w * v[c];
        }
      }
    }
  }
  for (var row = mine; row < min(mine + TM, QUERIES); row++) {
    let r = row - mine;
    let all = subgroupAdd(total[r]);
    let start = start_o(batch, row);
    for (var c = 0u; c < PART_B; c++) { // unroll
      put_o(start, c * S + lane, sum[r * PART_B + c] / all);
    }
    if (lane == 0u) {
      store_lse(batch, row, peak[r] + log(all));
    }
  }
}
