// attention_grad_kv by subgroups (see attention-lanes.wgsl): own rows are keys, and the others queries. w = exp(score − lse), dv = Σ w · do,
// ds = w (do · v − do · o), dk = Σ ds · q.
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(KEYS) * BATCHES) {
    return;
  }
  let batch = group / blocks(KEYS);
  let mine = (group % blocks(KEYS)) * TM;
  var sum_k: array<vec4f, TM * PART_A>;
  var sum_v: array<vec4f, TM * PART_B>;
  var own_k: array<u32, LOADS>;
  var own_v: array<u32, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // unroll
    let row = min(mine + i * S + lane, KEYS - 1u);
    own_k[i] = start_k(batch, row);
    own_v[i] = start_v(batch, row);
  }
  for (var first = 0u; first < QUERIES; first += 4u * S) {
    let query = first + 4u * lane;
    let at0 = min(query, QUERIES - 1u);
    let at1 = min(query + 1u, QUERIES - 1u);
    let at2 = min(query + 2u, QUERIES - 1u);
    let at3 = min(query + 3u, QUERIES - 1u);
    let at_q0 = start_q(batch, at0);
    let at_q1 = start_q(batch, at1);
    let at_q2 = start_q(batch, at2);
    let at_q3 = start_q(batch, at3);
    var s = array<vec4f, TM>();
    for (var c = 0u; c < A; c++) {
      var own: array<vec4f, LOADS>;
      for (var i = 0u; i < LOADS; i++) { // unroll
        own[i] = vector_k(own_k[i], c);
      }
      let q0 = vector_q(at_q0, c);
      let q1 = vector_q(at_q1, c);
      let q2 = vector_q(at_q2, c);
      let q3 = vector_q(at_q3, c);
      for (var r = 0u; r < TM; r++) { // unroll
        s[r] += four_products(subgroupBroadcast(own[r / S], r % S), q0, q1, q2, q3);
      }
    }
    let at_do0 = start_do(batch, at0);
    let at_do1 = start_do(batch, at1);
    let at_do2 = start_do(batch, at2);
    let at_do3 = start_do(batch, at3);
    let at_o0 = start_o(batch, at0);
    let at_o1 = start_o(batch, at1);
    let at_o2 = start_o(batch, at2);
    let at_o3 = start_o(batch, at3);
    var d = array<vec4f, TM>();
    var along = vec4f();
    for (var c = 0u; c < B; c++) {
      var own: array<vec4f, LOADS>;
      for (var i = 0u; i < LOADS; i++) { // unroll
        own[i] = vector_v(own_v[i], c);
      }
      let g0 = vector_do(at_do0, c);
      let g1 = vector_do(at_do1, c);
      let g2 = vector_do(at_do2, c);
      let g3 = vector_do(at_do3, c);
      along.x += sum_of(g0 * vector_o(at_o0, c));
      along.y += sum_of(g1 * vector_o(at_o1, c));
      along.z += sum_of(g2 * vector_o(at_o2, c));
      along.w += sum_of(g3 * vector_o(at_o3, c));
      for (var r = 0u; r < TM; r++) { // unroll
        d[r] += four_products(subgroupBroadcast(own[r / S], r % S), g0, g1, g2, g3);
      }
    }
    let lse = vec4f(load_lse(batch, at0), load_lse(batch, at1), load_lse(batch, at2), load_lse(batch, at3));
    let inside = within(query, QUERIES);
    for (var r = 0u; r < TM; r++) { // unroll
      s[r] = select(vec4f(), exp(s[r] * SCALE - lse), inside);
      d[r] = s[r] * (d[r] - along) * SCALE;
    }
    for (var j = 0u; j < min(4u * S, QUERIES - first); j++) {
      let at_do = start_do(batch, first + j);
      for (var c = 0u; c < PART_B; c++) { // unroll
        let g = vector_do(at_do, c * S + lane);
        for (var r = 0u; r < TM; r++) { // unroll
          sum_v[r * PART_B + c] += handed_round(s[r], j) * g;
        }
      }
      let at_q = start_q(batch, first + j);
      for (var c = 0u; c < PART_A; c++) { // unroll
        let q = vector_q(at_q, c * S + lane);
        for (var r = 0u; r < TM; r++) { // unroll
          sum_k[r * PART_A + c] += handed_round(d[r], j) * q;
        }
      }
    }
  }
  for (var row = mine; row < min(mine + TM, KEYS); row++) {
    let start_of_k = start_dk(batch, row);
    let start_of_v = start_dv(batch, row);
    for (var c = 0u; c < PART_A; c++) { // unroll
      put_dk(start_of_k, c * S + lane, sum_k[(row - mine) * PART_A + c]);
    }
    for (var c = 0u; c < PART_B; c++) { // unroll
      put_dv(start_of_v, c * S + lane, sum_v[(row - mine) * PART_B + c]);
    }
  }
}
