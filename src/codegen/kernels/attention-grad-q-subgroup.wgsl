// attention_grad_q by subgroups (see attention-lanes.wgsl): along the keys again. w = exp(score − lse), ds = w (do · v − delta), dq = Σ ds · k,
// delta = Σ do · o.
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * TM;
  var own_q: array<f32, TM * PART_A>;
  var own_do: array<f32, TM * PART_B>;
  // Of each own row in its lane, as the scores.
  var delta: array<f32, GROUPS>;
  var lse: array<f32, GROUPS>;
  let at_q = place_q(batch);
  let at_do = place_do(batch);
  let at_o = place_o(batch);
  let at_lse = place_lse(batch);
  for (var r = 0u; r < ROWS; r++) {
    let row = min(mine + r, QUERIES - 1u);
    let q = row_q(at_q, row, lane);
    for (var c = 0u; c < PART_A; c++) { // unroll
      own_q[r * PART_A + c] = q[c] * SCALE;
    }
    let d = row_do(at_do, row, lane);
    let o = row_o(at_o, row, lane);
    var part = 0.0;
    for (var c = 0u; c < PART_B; c++) { // unroll
      own_do[r * PART_B + c] = d[c];
      part += d[c] * o[c];
    }
    let whole = whole_sum(part);
    let here = lane == r % S;
    delta[r / S] = select(delta[r / S], whole, here);
    lse[r / S] = select(lse[r / S], number_lse(at_lse, row), here);
  }
  var sum: array<f32, TM * PART_A>;
  let at_k = place_k(batch);
  let at_v = place_v(batch);
  for (var key = 0u; key < KEYS; key++) {
    let k = row_k(at_k, key, lane);
    let v = row_v(at_v, key, lane);
    for (var g = 0u; g < GROUPS; g++) { // unroll
      var score = array<f32, S>();
      for (var r = 0u; r < S; r++) { // unroll
        for (var c = 0u; c < PART_A; c++) { // unroll
          score[r] += own_q[(g * S + r) * PART_A + c] * k[c];
        }
      }
      var dw = array<f32, S>();
      for (var r = 0u; r < S; r++) { // unroll
        for (var c = 0u; c < PART_B; c++) { // unroll
          dw[r] += own_do[(g * S + r) * PART_B + c] * v[c];
        }
      }
      let ds = exp(across(lane, score) - lse[g]) * (across(lane, dw) - delta[g]) * SCALE;
      for (var r = 0u; r < S; r++) { // unroll
        let w = subgroupBroadcast(ds, r);
        for (var c = 0u; c < PART_A; c++) { // unroll
          sum[(g * S + r) * PART_A + c] += w * k[c];
        }
      }
    }
  }
  let at_dq = place_dq(batch);
  let at_delta = place_delta(batch);
  for (var row = mine; row < min(mine + TM, QUERIES); row++) {
    let r = row - mine;
    let whole = subgroupShuffle(delta[r / S], r % S);
    if (lane == 0u) {
      put_delta(at_delta, row, whole);
    }
    put_dq(at_dq, row, lane, &sum, r * PART_A);
  }
}
