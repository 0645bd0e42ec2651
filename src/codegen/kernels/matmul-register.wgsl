// matmul-register: C[m,n] = Σk A[m,k] · B[k,n] over up to two batch axes, any strides. Each thread keeps TM × TN results in registers; a
// workgroup of WX × WY threads covers a tile of TM·WY rows and TN·WX columns. Threads of a row read neighbouring columns of B, those of
// a column the same rows of A. Rows and columns past the edge are read again from the last one and not stored.
@compute @workgroup_size(WX * WY)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let tiles_n = (N + TN * WX - 1u) / (TN * WX);
  let tiles_m = (M + TM * WY - 1u) / (TM * WY);
  let group = group_id(wid);
  if (group >= tiles_n * tiles_m * BATCH0 * BATCH1) {
    return;
  }
  let tile = group / tiles_n;
  let n0 = (group % tiles_n) * TN * WX + lid % WX;
  let m0 = (tile % tiles_m) * TM * WY + (lid / WX) * TM;
  let batch = tile / tiles_m;
  let a_base = A_OFFSET + (batch / BATCH1) * A_BATCH0 + (batch % BATCH1) * A_BATCH1;
  let b_base = B_OFFSET + (batch / BATCH1) * B_BATCH0 + (batch % BATCH1) * B_BATCH1;
  let c_base = C_OFFSET + (batch / BATCH1) * C_BATCH0 + (batch % BATCH1) * C_BATCH1;

  var a_at: array<u32, TM>;
  var b_at: array<u32, TN>;
  for (var i = 0u; i < TM; i++) {
    a_at[i] = a_base + min(m0 + i, M - 1u) * A_M;
  }
  // Columns of one thread lie WX apart, so that the threads of a row read B side by side.
  for (var j = 0u; j < TN; j++) {
    b_at[j] = b_base + min(n0 + j * WX, N - 1u) * B_N;
  }
  var sum: array<f32, TM * TN>;
  for (var k = 0u; k < K; k++) {
    var b: array<f32, TN>;
    for (var j = 0u; j < TN; j++) {
      b[j] = load_b(b_at[j] + k * B_K);
    }
    for (var i = 0u; i < TM; i++) {
      let a = load_a(a_at[i] + k * A_K);
      for (var j = 0u; j < TN; j++) {
        sum[i * TN + j] = fma(a, b[j], sum[i * TN + j]);
      }
    }
  }
  for (var i = 0u; i < TM; i++) {
    for (var j = 0u; j < TN; j++) {
      let m = m0 + i;
      let n = n0 + j * WX;
      if (m < M && n < N) {
        store(c_base + m * C_M + n * C_N, m, n, batch, sum[i * TN + j]);
      }
    }
  }
  // Sums of an operand over k ride along: those of A in the first tile of columns, those of B in the first of rows.
  if (SUM_A && n0 == 0u) {
    for (var i = 0u; i < TM; i++) {
      if (m0 + i < M) {
        var total = 0.0;
        for (var start = 0u; start < K; start += 64u) {
          var block = 0.0;
          for (var k = start; k < min(start + 64u, K); k++) {
            block += load_a(a_at[i] + k * A_K);
          }
          total += block;
        }
        store_sum_a(m0 + i, batch, total);
      }
    }
  }
  if (SUM_B && m0 == 0u) {
    for (var j = 0u; j < TN; j++) {
      if (n0 + j * WX < N) {
        var total = 0.0;
        for (var start = 0u; start < K; start += 64u) {
          var block = 0.0;
          for (var k = start; k < min(start + 64u, K); k++) {
            block += load_b(b_at[j] + k * B_K);
          }
          total += block;
        }
        store_sum_b(n0 + j * WX, batch, total);
      }
    }
  }
  keep_squares(group, tiles_n * tiles_m * BATCH0 * BATCH1, lid); // where SQUARES
}
