// matmul-single: C[m,n] = Σk A[m,k] · B[k,n] by subgroups as in matmul-subgroup.wgsl, one number at a time: any strides, any sizes. One subgroup
// of S lanes makes TM rows of TN = COLUMNS · S columns: a lane has every S-th column and loads every S-th row of A, which is handed round. Rows and
// columns past the edge are read again from the last and not stored. Loops ask at their end whether to go on (matmul-subgroup.wgsl says why).
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let tiles_n = (N + TN - 1u) / TN;
  let tiles_m = (M + TM - 1u) / TM;
  let tile = group_id(wid);
  if (tile >= tiles_n * tiles_m * BATCH0 * BATCH1) {
    return;
  }
  let batch = tile / (tiles_n * tiles_m);
  let place = tile_place(tile % (tiles_n * tiles_m), tiles_m, tiles_n);
  let m0 = place.x * TM;
  let n0 = place.y * TN;
  let a_base = A_OFFSET + (batch / BATCH1) * A_BATCH0 + (batch % BATCH1) * A_BATCH1;
  let b_base = B_OFFSET + (batch / BATCH1) * B_BATCH0 + (batch % BATCH1) * B_BATCH1;
  let c_base = C_OFFSET + (batch / BATCH1) * C_BATCH0 + (batch % BATCH1) * C_BATCH1;

  var a_at: array<u32, A_LOADS>;
  for (var q = 0u; q < A_LOADS; q++) { // unroll
    a_at[q] = a_base + min(m0 + lane + S * q, M - 1u) * A_M;
  }
  var b_at: array<u32, COLUMNS>;
  for (var j = 0u; j < COLUMNS; j++) { // unroll
    b_at[j] = b_base + min(n0 + lane + S * j, N - 1u) * B_N;
  }
  var sum: array<f32, TM * COLUMNS>;
  var own_a: array<f32, A_LOADS>; // where SUMS_OF_A
  var own_b: array<f32, COLUMNS>; // where SUMS_OF_B
  var a_k = 0u;
  var b_k = 0u;
  var k = 0u;
  loop {
    var a: array<f32, A_LOADS>;
    for (var q = 0u; q < A_LOADS; q++) { // unroll
      a[q] = number_a(a_at[q] + a_k);
      own_a[q] += a[q]; // where SUMS_OF_A
    }
    var b: array<f32, COLUMNS>;
    for (var j = 0u; j < COLUMNS; j++) { // unroll
      b[j] = number_b(b_at[j] + b_k);
      own_b[j] += b[j]; // where SUMS_OF_B
    }
    for (var r = 0u; r < TM; r++) { // unroll
      let x = subgroupBroadcast(a[min(r / S, A_LOADS - 1u)], r % S);
      for (var j = 0u; j < COLUMNS; j++) { // unroll
        sum[r * COLUMNS + j] += x * b[j];
      }
    }
    a_k += A_K;
    b_k += B_K;
    continuing {
      k++;
      break if k >= K;
    }
  }
  // A store stands once, for what it is to a driver of CPU vectors (matmul-subgroup.wgsl).
  if (n0 + lane < N) {
    var m = m0;
    loop {
      var n = n0 + lane;
      loop {
        store(c_base + m * C_M + n * C_N, m, n, batch, sum[(m - m0) * COLUMNS + (n - n0) / S]);
        continuing {
          n += S;
          break if n >= min(n0 + TN, N);
        }
      }
      continuing {
        m++;
        break if m >= min(m0 + TM, M);
      }
    }
  }
  // The sums of an operand over k ride along: a lane has what it loaded. The first tile of columns stores those of A, the first of rows those of B.
  for (var q = 0u; q < A_LOADS; q++) { // unroll // where SUMS_OF_A
    if (n0 == 0u && lane + S * q < TM && m0 + lane + S * q < M) { // where SUMS_OF_A
      store_sum_a(m0 + lane + S * q, batch, own_a[q]); // where SUMS_OF_A
    } // where SUMS_OF_A
  } // where SUMS_OF_A
  for (var j = 0u; j < COLUMNS; j++) { // unroll // where SUMS_OF_B
    if (m0 == 0u && n0 + lane + S * j < N) { // where SUMS_OF_B
      store_sum_b(n0 + lane + S * j, batch, own_b[j]); // where SUMS_OF_B
    } // where SUMS_OF_B
  } // where SUMS_OF_B
  keep_squares(tile, tiles_n * tiles_m * BATCH0 * BATCH1, lane); // where SQUARES
}
