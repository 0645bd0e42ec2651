// attention by quads, for subgroups of four lanes on a CPU. A quad has TM queries, all of each in every lane's own memory, and goes along the
// keys by four.
//   scores      a lane has one of the four keys, and multiplies it with every query
//   softmax     the largest of a query's four scores is found by two swaps; what was summed before is brought to it once for four keys
//   weighted v  a lane has a quarter of the columns. It goes along the four keys from its own one on, in another order than the others, so that
//               the weights that it needs are a swap away; each value is loaded once by one lane
// Where a subgroup is a vector of four, a load is one number after the other and a swap one instruction, and what a loop keeps costs as much
// as three multiply-adds for each step (see matmul-quad.wgsl): so steps of four keys, and sums of four products that are written as one.
const LOWEST = -3.4028234663852886e38f;

@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  let blocks = (QUERIES + TM - 1u) / TM;
  if (group >= blocks * BATCHES) {
    return;
  }
  let batch = group / blocks;
  let mine = (group % blocks) * TM;
  var own_q: array<vec4f, TM * PART_A>;
  for (var r = 0u; r < ROWS; r++) {
    let start = start_q(batch, min(mine + r, QUERIES - 1u));
    for (var c = 0u; c < VECTORS; c++) {
      own_q[r * PART_A + c] = vector_q(start, c) * SCALE;
    }
  }
  var sum: array<f32, TM * COLUMNS>;
  var peak: array<f32, TM>;
  var total: array<f32, TM>;
  for (var r = 0u; r < TM; r++) { // unroll
    peak[r] = LOWEST;
  }
  for (var first = 0u; first < KEYS; first += 4u) {
    let at_k = start_k(batch, min(first + lane, KEYS - 1u));
    var score = array<f32, TM>();
    for (var c = 0u; c < PART_A; c++) { // unroll
      let k = vector_k(at_k, c);
      for (var r = 0u; r < TM; r++) { // unroll
        let q = own_q[r * PART_A + c];
        score[r] += q.x * k.x + q.y * k.y + q.z * k.z + q.w * k.w;
      }
    }
    var weight = array<f32, TM>();
    var shrink = array<f32, TM>();
    for (var r = 0u; r < TM; r++) { // unroll
      score[r] = select(LOWEST, score[r], first + lane < KEYS); // where KEYS_END
      let two = max(score[r], quadSwapX(score[r]));
      let top = max(peak[r], max(two, quadSwapY(two)));
      shrink[r] = exp(peak[r] - top);
      weight[r] = exp(score[r] - top);
      peak[r] = top;
      total[r] = total[r] * shrink[r] + weight[r];
    }
    let v0 = start_v(batch, min(first + lane, KEYS - 1u));
    let v1 = start_v(batch, min(first + (lane ^ 1u), KEYS - 1u));
    let v2 = start_v(batch, min(first + (lane ^ 2u), KEYS - 1u));
    let v3 = start_v(batch, min(first + (lane ^ 3u), KEYS - 1u));
    for (var c = 0u; c < PART_B; c++) { // unroll
      let x0 = vector_v(v0, 4u * c + lane);
      let x1 = vector_v(v1, 4u * c + lane);
      let x2 = vector_v(v2, 4u * c + lane);
      let x3 = vector_v(v3, 4u * c + lane);
      for (var r = 0u; r < TM; r++) { // unroll
        let w0 = weight[r];
        let w1 = quadSwapX(w0);
        let w2 = quadSwapY(w0);
        let w3 = quadSwapDiagonal(w0);
        for (var j = 0u; j < 4u; j++) { // unroll
          let more = w0 * x0[j] + w1 * x1[j] + w2 * x2[j] + w3 * x3[j];
          sum[r * COLUMNS + 4u * c + j] = sum[r * COLUMNS + 4u * c + j] * shrink[r] + more;
        }
      }
    }
  }

  // Found by an index these would lie in memory: copies do.
  var row: array<vec4f, TM * PART_B>;
  var all: array<f32, TM>;
  var largest: array<f32, TM>;
  for (var r = 0u; r < TM; r++) { // unroll
    let two = total[r] + quadSwapX(total[r]);
    all[r] = two + quadSwapY(two);
    largest[r] = peak[r];
    for (var c = 0u; c < PART_B; c++) { // unroll
      row[r * PART_B + c] = vec4f(
        sum[r * COLUMNS + 4u * c],
        sum[r * COLUMNS + 4u * c + 1u],
        sum[r * COLUMNS + 4u * c + 2u],
        sum[r * COLUMNS + 4u * c + 3u],
      );
    }
  }
  for (var r = 0u; r < min(ROWS, QUERIES - mine); r++) {
    let start = start_o(batch, mine + r);
    for (var c = 0u; c < PART_B; c++) { // unroll
      put_o(start, 4u * c + lane, row[r * PART_B + c] / all[r]);
    }
    if (lane == 0u) {
      store_lse(batch, mine + r, largest[r] + log(all[r]));
    }
  }
}
