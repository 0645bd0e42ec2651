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
  for (var r = 0u; r < ROWS; r++) {
    let row = min(mine + r, QUERIES - 1u);
    let at_q = start_q(batch, row);
    for (var c = 0u; c < PART_A; c++) { // unroll
      own_q[r * PART_A + c] = number_q(at_q, c * S + lane) * SCALE;
    }
    let at_do = start_do(batch, row);
    let at_o = start_o(batch, row);
    var part = 0.0;
    for (var c = 0u; c < PART_B; c++) { // unroll
      let g = number_do(at_do, c * S + lane);
      own_do[r * PART_B + c] = g;
      part += g * number_o(at_o, c * S + lane);
    }
    let whole = whole_sum(part);
    let here = lane == r % S;
    delta[r / S] = select(delta[r / S], whole, here);
    lse[r / S] = select(lse[r / S], load_lse(batch, row), here);
  }
  var sum: array<f32, TM * PART_A>;
  for (var key = 0u; key < KEYS; key++) {
    let at_k = start_k(batch, key);
    var k: array<f32, PART_A>;
    for (var c = 0u; c < PART_A; c++) { // unroll
      k[c] = number_k(at_k, c * S + lane);
    }
    let at_v = start_v(batch, key);
    var v: array<f32, PART_B>;
    for (var c = 0u; c < PART_B; c++) { // unroll
      v[c] = number_v(at_v, c * S + lane);
    }
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
  for (var row = mine; row < min(mine + TM, QUERIES); row++) {
    let r = row - mine;
    let whole = subgroupShuffle(delta[r / S], r % S);
    if (lane == 0u) {
      store_delta(batch, row, whole);
    }
    let start = start_dq(batch, row);
    for (var c = 0u; c < PART_A; c++) { // unroll
      put_dq(start, c * S + lane, sum[r * PART_A + c]);
    }
  }
}
