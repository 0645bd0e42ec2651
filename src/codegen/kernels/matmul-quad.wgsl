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
  let steps = (K + 4u * PARTS - 1u) / (4u * PARTS);
  for (var step = 0u; step < steps; step++) {
    var a: array<vec4f, OWN * PARTS>;
    var b: array<vec4f, COLUMNS * PARTS>;
    for (var h = 0u; h < PARTS; h++) { // unroll
      let four = PARTS * step + h;
      // K ends with a four where A or B lies k by k, but maybe inside the step.
      const whole = A_ALONG_K && h == 0u;
      let inside = vec4u(4u * four) + vec4u(0u, 1u, 2u, 3u) < vec4u(K);
      for (var q = 0u; q < OWN; q++) { // unroll
        if (whole) {
          a[q] = load_a(a_at[q] + four);
        } else if (A_ALONG_K) {
          a[OWN * h + q] = select(vec4f(), load_a(a_at[q] + four), inside.x);
        } else if (q % 4u == 0u) {
          let t0 = select(vec4f(), load_a(a_at[q] + 4u * four * a_step), inside.x);
          let t1 = select(vec4f(), load_a(a_at[q] + (4u * four + 1u) * a_step), inside.y);
          let t2 = select(vec4f(), load_a(a_at[q] + (4u * four + 2u) * a_step), inside.z);
          let t3 = select(vec4f(), load_a(a_at[q] + (4u * four + 3u) * a_step), inside.w);
          a[OWN * h + q] = vec4f(t0.x, t1.x, t2.x, t3.x);
          a[OWN * h + min(q + 1u, OWN - 1u)] = vec4f(t0.y, t1.y, t2.y, t3.y);
          a[OWN * h + min(q + 2u, OWN - 1u)] = vec4f(t0.z, t1.z, t2.z, t3.z);
          a[OWN * h + min(q + 3u, OWN - 1u)] = vec4f(t0.w, t1.w, t2.w, t3.w);
        }
      }
      for (var j = 0u; j < COLUMNS; j++) { // unroll
        if (B_ALONG_K && whole) {
          b[j] = load_b(b_at[j] + four);
        } else if (B_ALONG_K) {
          b[COLUMNS * h + j] = select(vec4f(), load_b(b_at[j] + four), inside.x);
        } else if (j % 4u == 0u) {
          var t0 = load_b(b_at[j] + 4u * four * b_step);
          var t1 = load_b(b_at[j] + (4u * four + 1u) * b_step);
          var t2 = load_b(b_at[j] + (4u * four + 2u) * b_step);
          var t3 = load_b(b_at[j] + (4u * four + 3u) * b_step);
          if (!whole) {
            t0 = select(vec4f(), t0, inside.x);
            t1 = select(vec4f(), t1, inside.y);
            t2 = select(vec4f(), t2, inside.z);
            t3 = select(vec4f(), t3, inside.w);
          }
          b[COLUMNS * h + j] = vec4f(t0.x, t1.x, t2.x, t3.x);
          b[COLUMNS * h + min(j + 1u, COLUMNS - 1u)] = vec4f(t0.y, t1.y, t2.y, t3.y);
          b[COLUMNS * h + min(j + 2u, COLUMNS - 1u)] = vec4f(t0.z, t1.z, t2.z, t3.z);
          b[COLUMNS * h + min(j + 3u, COLUMNS - 1u)] = vec4f(t0.w, t1.w, t2.w, t3.w);
        }
      }
    }
    for (var q = 0u; q < OWN; q++) { // unroll
      for (var p = 0u; p < 4u; p++) { // unroll
        var x = a[q];
        var y = a[OWN + q]; // where EIGHT
        if (p == 1u) {
          x = quadSwapX(x);
          y = quadSwapX(y); // where EIGHT
        } else if (p == 2u) {
          x = quadSwapY(x);
          y = quadSwapY(y); // where EIGHT
        } else if (p == 3u) {
          x = quadSwapDiagonal(x);
          y = quadSwapDiagonal(y); // where EIGHT
        }
        for (var j = 0u; j < COLUMNS; j++) { // unroll
          var add = x.x * b[j].x + x.y * b[j].y + x.z * b[j].z + x.w * b[j].w;
          add = add + y.x * b[COLUMNS + j].x + y.y * b[COLUMNS + j].y + y.z * b[COLUMNS + j].z + y.w * b[COLUMNS + j].w; // where EIGHT
          sum[(4u * q + p) * COLUMNS + j] += add;
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
