// attention_grad_q: along the keys again, by blocks (attention-products.wgsl). w = exp(score − lse), ds = w (do · v − delta), dq = Σ ds · k,
// delta = Σ do · o.
fn start_own(second: bool, batch: u32, row: u32) -> u32 {
  if (second) {
    return start_do(batch, min(row, QUERIES - 1u));
  }
  return start_q(batch, min(row, QUERIES - 1u));
}

fn vector_own(second: bool, start: u32, c: u32) -> vec4f {
  if (second) {
    return vector_do(start, c);
  }
  return vector_q(start, c) * SCALE;
}

fn start_other(second: bool, batch: u32, row: u32) -> u32 {
  if (second) {
    return start_v(batch, min(row, KEYS - 1u));
  }
  return start_k(batch, min(row, KEYS - 1u));
}

fn vector_other(second: bool, start: u32, c: u32) -> vec4f {
  if (second) {
    return vector_v(start, c);
  }
  return vector_k(start, c);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * OWNERS;
  let column = lid % WX;
  let row = lid / WX;
  // Of own rows: neighbours read neighbouring vectors.
  var delta = array<vec4f, ROWS_A>();
  var lse = array<vec4f, ROWS_A>();
  for (var q = 0u; q < ROWS_A; q++) { // unroll
    var found = vec4f();
    var loaded = vec4f();
    for (var j = 0u; j < 4u; j++) { // unroll
      let query = min(mine + 4u * (row * ROWS_A + q) + j, QUERIES - 1u);
      let start_g = start_do(batch, query);
      let start_of_o = start_o(batch, query);
      loaded[j] = load_lse(batch, query);
      for (var c = 0u; c < PART; c++) { // unroll
        found[j] += dot(vector_do(start_g, c * WX + column), vector_o(start_of_o, c * WX + column));
      }
    }
    delta[q] = found;
    lse[q] = loaded;
  }
  sums_of_rows(&delta, lid);
  var sum = array<vec4f, SUMS>();
  var ds = array<vec4f, RESULTS>();
  var d = array<vec4f, RESULTS>();
  for (var first = 0u; first < KEYS; first += BLOCK) {
    products(&ds, false, A, batch, mine, first, lid);
    products(&d, true, B, batch, mine, first, lid);
    let fetched = fetched_rows(false, batch, first, lid);
    let keys = within(first, column, KEYS);
    for (var q = 0u; q < ROWS_A; q++) { // unroll
      for (var j = 0u; j < 4u; j++) { // unroll
        let w = exp(ds[4u * q + j] - lse[q][j]);
        ds[4u * q + j] = select(vec4f(), w * (d[4u * q + j] - delta[q][j]), keys);
      }
    }
    weighted(&sum, ds, fetched, false, batch, first, KEYS, lid);
  }
  for (var q = 0u; q < ROWS_A; q++) { // unroll
    for (var j = 0u; j < 4u; j++) { // unroll
      let query = mine + 4u * (row * ROWS_A + q) + j;
      if (query < QUERIES) {
        if (column == 0u) {
          store_delta(batch, query, delta[q][j]);
        }
        let start = start_dq(batch, query);
        for (var c = 0u; c < PART; c++) { // unroll
          put_dq(start, c * WX + column, sum[4u * (q * PART + c) + j] * SCALE);
        }
      }
    }
  }
}
