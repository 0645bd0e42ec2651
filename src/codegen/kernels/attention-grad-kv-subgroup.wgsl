// attention_grad_kv by subgroups (see attention-lanes.wgsl): own rows are keys, and the others queries. w = exp(score − lse), dv = Σ w · do,
// ds = w (do · v − delta), dk = Σ ds · q.
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(KEYS) * BATCHES) {
    return;
  }
  let batch = group / blocks(KEYS);
  let mine = (group % blocks(KEYS)) * TM;
  var own_k: array<f32, TM * PART_A>;
  var own_v: array<f32, TM * PART_B>;
  for (var r = 0u; r < ROWS; r++) {
    let row = min(mine + r, KEYS - 1u);
    let at_k = start_k(batch, row);
    for (var c = 0u; c < PART_A; c++) { // unroll
      own_k[r * PART_A + c] = number_k(at_k, c * S + lane) * SCALE;
    }
    let at_v = start_v(batch, row);
    for (var c = 0u; c < PART_B; c++) { // unroll
      own_v[r * PART_B + c] = number_v(at_v, c * S + lane);
    }
  }
  var sum_k: array<f32, TM * PART_A>;
  var sum_v: array<f32, TM * PART_B>;
  for (var query = 0u; query < QUERIES; query++) {
    let at_q = start_q(batch, query);
    var q: array<f32, PART_A>;
    for (var c = 0u; c < PART_A; c++) { // unroll
      q[c] = number_q(at_q, c * S + lane);
    }
    let at_do = start_do(batch, query);
    var d: array<f32, PART_B>;
    for (var c = 0u; c < PART_B; c++) { // unroll
      d[c] = number_do(at_do, c * S + lane);
    }
    let lse = load_lse(batch, query);
    let delta = load_delta(batch, query);
    for (var g = 0u; g < GROUPS; g++) { // unroll
      var score = array<f32, S>();
      for (var r = 0u; r < S; r++) { // unroll
        for (var c = 0u; c < PART_A; c++) { // unroll
          score[r] += own_k[(g * S + r) * PART_A + c] * q[c];
        }
      }
      var dw = array<f32, S>();
      for (var r = 0u; r < S; r++) { // unroll
        for (var c = 0u; c < PART_B; c++) { // unroll
          dw[r] += own_v[(g * S + r) * PART_B + c] * d[c];
        }
      }
      let weights = exp(across(lane, score) - lse);
      let ds = weights * (across(lane, dw) - delta) * SCALE;
      for (var r = 0u; r < S; r++) { // unroll
        let w = subgroupBroadcast(weights, r);
        for (var c = 0u; c < PART_B; c++) { // unroll
          sum_v[(g * S + r) * PART_B + c] += w * d[c];
        }
      }
      for (var r = 0u; r < S; r++) { // unroll
        let w = subgroupBroadcast(ds, r);
        for (var c = 0u; c < PART_A; c++) { // unroll
          sum_k[(g * S + r) * PART_A + c] += w * q[c];
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
