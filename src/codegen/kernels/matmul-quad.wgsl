// matmul-quad: C[m,n] = Σk A[m,k] · B[k,n] for subgroups of four lanes on a CPU. One subgroup makes TM rows of 16·NV columns. A step takes
// four k: each lane loads OWN rows of A and its own columns of B (four in each of NV blocks of 16), all turned so that a vec4 lies along k.
// Its rows it swaps with the three other lanes of the quad, so that all four multiply every row, each in another order.
//   A_ALONG_K: A lies k by k, lane i owns row i, i + 4, …      else m by m (gradients of weights), it owns four rows side by side, and K may end inside a step
//   B_ALONG_K: B lies k by k (weights stored [out, in])      else n by n
// Where a subgroup is a vector of four, a vec4 is four vectors, one for each of its numbers, and turning it costs nothing; a lane's own
// address makes any load or store one of a single number after the other. So what counts is how few numbers are loaded, and that a swap in
// the quad is one instruction where a broadcast is eight. Sums are numbers of their own: drivers keep four products of one in a register.
// Addresses of A and B count fours.
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
      a_at[q] = (a_base + min(m0 + lane + 4u * q, M - 1u) * A_M) / 4u;
    } else {
      a_at[q] = (a_base + min(m0 + 4u * (lane + q / 4u * 4u), M - 4u)) / 4u;
    }
  }
  var b_at: array<u32, COLUMNS>;
  for (var v = 0u; v < NV; v++) { // unroll
    for (var j = 0u; j < 4u; j++) { // unroll
      if (B_ALONG_K) {
        b_at[4u * v + j] = (b_base + min(n0 + 16u * v + j, N - 1u) * B_N) / 4u;
      } else {
        b_at[4u * v + j] = (b_base + min(n0 + 16u * v, N - 4u)) / 4u;
      }
    }
  }

  var sum: array<f32, TM * COLUMNS>;
  // Nothing is divided inside the loop: a division of vectors is one for each lane.
  let a_step = A_K / 4u;
  let b_step = B_K / 4u;
  let steps = (K + 3u) / 4u;
  for (var step = 0u; step < steps; step++) {
    let k = 4u * step;
    var a: array<vec4f, OWN>;
    if (A_ALONG_K) {
      for (var q = 0u; q < OWN; q++) { // unroll
        a[q] = load_a(a_at[q] + step);
      }
    } else {
      for (var q = 0u; q < OWN; q += 4u) { // unroll
        let t0 = load_a(a_at[q] + k * a_step);
        let t1 = select(vec4f(), load_a(a_at[q] + (k + 1u) * a_step), k + 1u < K);
        let t2 = select(vec4f(), load_a(a_at[q] + (k + 2u) * a_step), k + 2u < K);
        let t3 = select(vec4f(), load_a(a_at[q] + (k + 3u) * a_step), k + 3u < K);
        a[q] = vec4f(t0.x, t1.x, t2.x, t3.x);
        a[min(q + 1u, OWN - 1u)] = vec4f(t0.y, t1.y, t2.y, t3.y);
        a[min(q + 2u, OWN - 1u)] = vec4f(t0.z, t1.z, t2.z, t3.z);
        a[min(q + 3u, OWN - 1u)] = vec4f(t0.w, t1.w, t2.w, t3.w);
      }
    }
    var b: array<vec4f, COLUMNS>;
    for (var v = 0u; v < NV; v++) { // unroll
      if (B_ALONG_K) {
        for (var j = 0u; j < 4u; j++) { // unroll
          b[4u * v + j] = load_b(b_at[4u * v + j] + step);
        }
      } else {
        let t0 = load_b(b_at[4u * v] + k * b_step);
        var t1 = load_b(b_at[4u * v] + (k + 1u) * b_step);
        var t2 = load_b(b_at[4u * v] + (k + 2u) * b_step);
        var t3 = load_b(b_at[4u * v] + (k + 3u) * b_step);
        if (!A_ALONG_K) {
          t1 = select(vec4f(), t1, k + 1u < K);
          t2 = select(vec4f(), t2, k + 2u < K);
          t3 = select(vec4f(), t3, k + 3u < K);
        }
        b[4u * v] = vec4f(t0.x, t1.x, t2.x, t3.x);
        b[4u * v + 1u] = vec4f(t0.y, t1.y, t2.y, t3.y);
        b[4u * v + 2u] = vec4f(t0.z, t1.z, t2.z, t3.z);
        b[4u * v + 3u] = vec4f(t0.w, t1.w, t2.w, t3.w);
      }
    }
    for (var q = 0u; q < OWN; q++) { // unroll
      for (var p = 0u; p < 4u; p++) { // unroll
        var x = a[q];
        if (p == 1u) {
          x = quadSwapX(a[q]);
        } else if (p == 2u) {
          x = quadSwapY(a[q]);
        } else if (p == 3u) {
          x = quadSwapDiagonal(a[q]);
        }
        for (var j = 0u; j < COLUMNS; j++) { // unroll
          sum[(4u * q + p) * COLUMNS + j] += x.x * b[j].x + x.y * b[j].y + x.z * b[j].z + x.w * b[j].w;
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
  for (var v = 0u; v < NV; v++) { // unroll
    let n = n0 + 16u * v;
    if (n < N) {
      for (var r = 0u; r < TM; r++) {
        // Its r-th row this lane had from the one that differs from it by r % 4.
        let m = m0 + select((r & ~15u) + 4u * ((r & 3u) ^ lane) + ((r >> 2u) & 3u), r ^ lane, A_ALONG_K);
        if (m < M) {
          store(c_base + m * C_M + n, m, n, batch, row[r * NV + v]);
        }
      }
    }
  }
  // The sums of A over k ride along in the first tile of columns.
  if (SUM_A && tile % tiles_n == 0u) {
    for (var q = 0u; q < OWN; q += 4u) { // unroll
      var total = vec4f();
      for (var start = 0u; start < K; start += 64u) {
        var block = vec4f();
        for (var k = start; k < min(start + 64u, K); k++) {
          block += load_a(a_at[q] + k * a_step);
        }
        total += block;
      }
      let m = m0 + 4u * (lane + q);
      if (m < M) {
        store_sum_a(m, batch, total.x);
        store_sum_a(m + 1u, batch, total.y);
        store_sum_a(m + 2u, batch, total.z);
        store_sum_a(m + 3u, batch, total.w);
      }
    }
  }
  keep_squares(tile, tiles_n * tiles_m * BATCH0 * BATCH1, lane); // where SQUARES
}
