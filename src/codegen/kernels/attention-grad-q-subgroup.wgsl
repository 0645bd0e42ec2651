// attention_grad_q by subgroups (see attention-lanes.wgsl): along the keys again. w = exp(score − lse), ds = w (do · v − do · o), dq = Σ ds · k.
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * TM;
  var sum: array<vec4f, TM * PART_A>;
  // A lane finds what belongs to every S-th of the own rows.
  var own_q: array<u32, LOADS>;
  var own_do: array<u32, LOADS>;
  var along: array<f32, LOADS>;
  var lse: array<f32, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // unroll
    let row = min(mine + i * S + lane, QUERIES - 1u);
    own_q[i] = start_q(batch, row);
    own_do[i] = start_do(batch, row);
    let at_o = start_o(batch, row);
    for (var c = 0u; c < B; c++) {
      along[i] += sum_of(vector_do(own_do[i], c) * vector_o(at_o, c));
    }
    lse[i] = load_lse(batch, row);
  }
  for (var first = 0u; first < KEYS; first += 4u * S) {
    let key = first + 4u * lane;
    let at_k0 = start_k(batch, min(key, KEYS - 1u));
    let at_k1 = start_k(batch, min(key + 1u, KEYS - 1u));
    let at_k2 = start_k(batch, min(key + 2u, KEYS - 1u));
    let at_k3 = start_k(batch, min(key + 3u, KEYS - 1u));
    var s = array<vec4f, TM>();
    for (var c = 0u; c < A; c++) {
      var own: array<vec4f, LOADS>;
      for (var i = 0u; i < LOADS; i++) { // unroll
        own[i] = vector_q(own_q[i], c);
      }
      let k0 = vector_k(at_k0, c);
      let k1 = vector_k(at_k1, c);
      let k2 = vector_k(at_k2, c);
      let k3 = vector_k(at_k3, c);
      for (var r = 0u; r < TM; r++) { // unroll
        s[r] += four_products(subgroupBroadcast(own[r / S], r % S), k0, k1, k2, k3);
      }
    }
    let at_v0 = start_v(batch, min(key, KEYS - 1u));
    let at_v1 = start_v(batch, min(key + 1u, KEYS - 1u));
    let at_v2 = start_v(batch, min(key + 2u, KEYS - 1u));
    let at_v3 = start_v(batch, min(key + 3u, KEYS - 1u));
    var d = array<vec4f, TM>();
    for (var c = 0u; c < B; c++) {
      var own: array<vec4f, LOADS>;
      for (var i = 0u; i < LOADS; i++) { // unroll
        own[i] = vector_do(own_do[i], c);
      }
      let v0 = vector_v(at_v0, c);
      let v1 = vector_v(at_v1, c);
      let v2 = vector_v(at_v2, c);
      let v3 = vector_v(at_v3, c);
      for (var r = 0u; r < TM; r++) { // unroll
        d[r] += four_products(subgroupBroadcast(own[r / S], r % S), v0, v1, v2, v3);
      }
    }
    let inside = within(key, KEYS);
    for (var r = 0u; r < TM; r++) { // unroll
      let w = exp(s[r] * SCALE - subgroupBroadcast(lse[r / S], r % S));
      d[r] = select(vec4f(), w * (d[r] - subgroupBroadcast(along[r / S], r % S)) * SCALE, inside);
    }
    for (var j = 0u; j < min(4u * S, KEYS - first); j++) {
      let at = start_k(batch, first + j);
      var k: array<vec4f, PART_A>;
      for (var c = 0u; c < PART_A; c++) { // unroll
        k[c] = vector_k(at, c * S + lane);
      }
      for (var r = 0u; r < TM; r++) { // unroll
        let w = handed_round(d[r], j);
        for (var c = 0u; c < PART_A; c++) { // unroll
          sum[r * PART_A + c] += w * k[c];
        }
      }
    }
  }
  for (var row = mine; row < min(mine + TM, QUERIES); row++) {
    let start = start_dq(batch, row);
    for (var c = 0u; c < PART_A; c++) { // unroll
      put_dq(start, c * S + lane, sum[(row - mine) * PART_A + c]);
    }
  }
}
