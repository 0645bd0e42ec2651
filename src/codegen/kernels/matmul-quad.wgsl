// matmul-quad: C[m,n] = Σk A[m,k] · B[k,n] for subgroups of four lanes on a CPU. One subgroup makes TM rows of 16·NV columns. A step takes
// four or eight k: each lane loads OWN rows of A and its own columns of B (four in each of NV blocks of 16), all turned so that a vec4 lies along k.
// Its rows it swaps with the three other lanes of the quad, so that all four multiply every row, each in another order.
//   A_ALONG_K: A lies k by k, lane i owns row i, i + 4, …      else m by m (gradients of weights), it owns four rows side by side
//   B_ALONG_K: B lies k by k (weights stored [out, in])      else n by n
//   PARTS: fours of k in a step      K_ENDS: the last step may have fewer
// Where a subgroup is a vector of four, a vec4 is four vectors, one for each of its numbers, and turning it costs nothing; a lane's own
// address makes any load or store one of a single number after the other. So what counts is how few numbers are loaded, and that a swap in
// the quad is one instruction where a broadcast is eight. Sums are numbers of their own: drivers keep four products of one in a register.
// Addresses of A and B count fours, UNIT; or single numbers (SINGLE) where operands lie at any stride: each k of a vec4 is a load then.
@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let tiles_n = (N + 16u * NV - 1u) / (16u * NV);
  let tiles_m = (M + TM - 1u) / TM;
  let tile = group_id(wid);
  if (tile >= tiles_n * tiles_m * BATCH0 * BATCH1) {
    return;
  }
  let n0 = (tile % tiles_n) * 16u * NV + 4u * lane;
  let m0 = ((tile / tiles_n) % tiles_m) * TM;
  let batch = tile / (tiles_n * tiles_m);
  let a_base = A_OFFSET + (batch / BATCH1) * A_BATCH0 + (batch % BATCH1) * A_BATCH1;
  let b_base = B_OFFSET + (batch / BATCH1) * B_BATCH0 + (batch % BATCH1) * B_BATCH1;
  let c_base = C_OFFSET + (batch / BATCH1) * C_BATCH0 + (batch % BATCH1) * C_BATCH1;

  // Rows and columns past the edge are read again from the last and not stored; M and N are multiples of 4 where they are read or written by fours.
  var a_at: array<u32, OWN>;
  for (var q = 0u; q < OWN; q++) { // unroll
    if (A_ALONG_K) {
      a_at[q] = (a_base + min(m0 + lane + 4u * q, M - 1u) * A_M) / UNIT;
    } else {
      a_at[q] = (a_base + min(m0 + 4u * (lane + q / 4u * 4u), M - 4u)) / 4u;
    }
  }
  var b_at: array<u32, COLUMNS>;
  for (var v = 0u; v < NV; v++) { // unroll
    for (var j = 0u; j < 4u; j++) { // unroll
      if (B_ALONG_K) {
        b_at[4u * v + j] = (b_base + min(n0 + 16u * v + j, N - 1u) * B_N) / UNIT;
      } else {
        b_at[4u * v + j] = (b_base + min(n0 + 16u * v, N - 4u)) / 4u;
      }
    }
  }

  var sum: array<f32, TM * COLUMNS>;
  // Nothing is divided inside the loop: a division of vectors is one for each lane.
  let a_step = A_K / UNIT;
  let b_step = B_K / UNIT;
  let steps = (K + 4u * PARTS - 1u) / (4u * PARTS);
  for (var step = 0u; step < steps; step++) {
    var a: array<vec4f, OWN * PARTS>;
    var b: array<vec4f, COLUMNS * PARTS>;
    for (var h = 0u; h < PARTS; h++) { // unroll
      let four = PARTS * step + h;
      // Where its four k lie, the same for all rows and columns: SwiftShader computes what the text says as often as it says so.
      let ak0 = 4u * four * a_step; // where A_STRIDED
      let ak1 = ak0 + a_step; // where A_STRIDED
      let ak2 = ak1 + a_step; // where A_STRIDED
      let ak3 = ak2 + a_step; // where A_STRIDED
      let bk0 = 4u * four * b_step; // where B_STRIDED
      let bk1 = bk0 + b_step; // where B_STRIDED
      let bk2 = bk1 + b_step; // where B_STRIDED
      let bk3 = bk2 + b_step; // where B_STRIDED
      for (var q = 0u; q < OWN; q++) { // unroll // where A_K_BY_K
        a[OWN * h + q] = load_a(a_at[q] + four); // where A_K_BY_K
      } // where A_K_BY_K
      for (var q = 0u; q < OWN; q++) { // unroll // where SINGLE
        let at = a_at[q]; // where SINGLE
        a[OWN * h + q] = vec4f(number_a(at + ak0), number_a(at + ak1), number_a(at + ak2), number_a(at + ak3)); // where SINGLE
      } // where SINGLE
      for (var q = 0u; q < OWN; q += 4u) { // unroll // where A_M_BY_M
        let t0 = load_a(a_at[q] + ak0); // where A_M_BY_M
        let t1 = load_a(a_at[q] + ak1); // where A_M_BY_M
        let t2 = load_a(a_at[q] + ak2); // where A_M_BY_M
        let t3 = load_a(a_at[q] + ak3); // where A_M_BY_M
        a[OWN * h + q] = vec4f(t0.x, t1.x, t2.x, t3.x); // where A_M_BY_M
        a[OWN * h + q + 1u] = vec4f(t0.y, t1.y, t2.y, t3.y); // where A_M_BY_M
        a[OWN * h + q + 2u] = vec4f(t0.z, t1.z, t2.z, t3.z); // where A_M_BY_M
        a[OWN * h + q + 3u] = vec4f(t0.w, t1.w, t2.w, t3.w); // where A_M_BY_M
      } // where A_M_BY_M
      for (var j = 0u; j < COLUMNS; j++) { // unroll // where B_K_BY_K
        b[COLUMNS * h + j] = load_b(b_at[j] + four); // where B_K_BY_K
      } // where B_K_BY_K
      for (var j = 0u; j < COLUMNS; j++) { // unroll // where SINGLE
        let at = b_at[j]; // where SINGLE
        b[COLUMNS * h + j] = vec4f(number_b(at + bk0), number_b(at + bk1), number_b(at + bk2), number_b(at + bk3)); // where SINGLE
      } // where SINGLE
      for (var j = 0u; j < COLUMNS; j += 4u) { // unroll // where B_N_BY_N
        let t0 = load_b(b_at[j] + bk0); // where B_N_BY_N
        let t1 = load_b(b_at[j] + bk1); // where B_N_BY_N
        let t2 = load_b(b_at[j] + bk2); // where B_N_BY_N
        let t3 = load_b(b_at[j] + bk3); // where B_N_BY_N
        b[COLUMNS * h + j] = vec4f(t0.x, t1.x, t2.x, t3.x); // where B_N_BY_N
        b[COLUMNS * h + j + 1u] = vec4f(t0.y, t1.y, t2.y, t3.y); // where B_N_BY_N
        b[COLUMNS * h + j + 2u] = vec4f(t0.z, t1.z, t2.z, t3.z); // where B_N_BY_N
        b[COLUMNS * h + j + 3u] = vec4f(t0.w, t1.w, t2.w, t3.w); // where B_N_BY_N
      } // where B_N_BY_N
      // What was read behind the last k counts as zero, whatever it is: by its bits, which is one instruction where a select is three.
      let inside = select(vec4u(), vec4u(0xffffffffu), vec4u(4u * four) + vec4u(0u, 1u, 2u, 3u) < vec4u(K)); // where K_ENDS
      for (var q = 0u; q < OWN; q++) { // unroll // where K_ENDS
        a[OWN * h + q] = bitcast<vec4f>(bitcast<vec4u>(a[OWN * h + q]) & inside); // where K_ENDS
      } // where K_ENDS
      for (var j = 0u; j < COLUMNS; j++) { // unroll // where K_ENDS
        b[COLUMNS * h + j] = bitcast<vec4f>(bitcast<vec4u>(b[COLUMNS * h + j]) & inside); // where K_ENDS
      } // where K_ENDS
    }
    for (var q = 0u; q < OWN; q++) { // unroll
      var x = array(a[q], quadSwapX(a[q]), quadSwapY(a[q]), quadSwapDiagonal(a[q]));
      var y = array(a[OWN + q], quadSwapX(a[OWN + q]), quadSwapY(a[OWN + q]), quadSwapDiagonal(a[OWN + q])); // where EIGHT
      for (var p = 0u; p < 4u; p++) { // unroll
        for (var j = 0u; j < COLUMNS; j++) { // unroll
          var more = x[p].x * b[j].x + x[p].y * b[j].y + x[p].z * b[j].z + x[p].w * b[j].w;
          more = more + y[p].x * b[COLUMNS + j].x + y[p].y * b[COLUMNS + j].y + y[p].z * b[COLUMNS + j].z + y[p].w * b[COLUMNS + j].w; // where EIGHT
          sum[(4u * q + p) * COLUMNS + j] += more;
        }
      }
    }
  }

  // Found by an index these would lie in memory: copies do.
  var row: array<vec4f, TM * NV>;
  for (var r = 0u; r < TM; r++) { // unroll
    for (var v = 0u; v < NV; v++) { // unroll
      row[r * NV + v] = vec4f(
        sum[(r * NV + v) * 4u],
        sum[(r * NV + v) * 4u + 1u],
        sum[(r * NV + v) * 4u + 2u],
        sum[(r * NV + v) * 4u + 3u],
      );
    }
  }
  // A store, and what follows the product, stands once.
  for (var v = 0u; v < NV; v++) {
    let n = n0 + 16u * v;
    let share = rows_share(m0, n, batch);
    for (var r = 0u; r < TM; r++) {
      // Its r-th row this lane had from the one that differs from it by r % 4.
      let m = m0 + select((r & ~15u) + 4u * ((r & 3u) ^ lane) + ((r >> 2u) & 3u), r ^ lane, A_ALONG_K);
      if (m < M && n < N) {
        store_sharing(c_base + m * C_M + n * C_N, m, n, batch, share, row[r * NV + v]);
      }
    }
  }
  ride_sums(m0, n0 - 4u * lane, lane, a_base, b_base, batch);
  keep_squares(tile, tiles_n * tiles_m * BATCH0 * BATCH1, lane); // where SQUARES
}
