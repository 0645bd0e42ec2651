// Rows that a workgroup goes along, ROWS at a time in workgroup memory: A vectors of one operand and B of the other for each row.
var<workgroup> tile_a: array<vec4f, ROWS * A>;
var<workgroup> tile_b: array<vec4f, ROWS * B>;

fn stage(batch: u32, first: u32, rows: u32, lid: u32) {
  workgroupBarrier();
  for (var i = lid; i < ROWS * A; i += THREADS) {
    tile_a[i] = vector_a(batch, min(first + i / A, rows - 1u), i % A);
  }
  for (var i = lid; i < ROWS * B; i += THREADS) {
    tile_b[i] = vector_b(batch, min(first + i / B, rows - 1u), i % B);
  }
  workgroupBarrier();
}

fn row_a(batch: u32, row: u32, j: u32, c: u32) -> vec4f {
  return tile_a[j * A + c];
}

fn row_b(batch: u32, row: u32, j: u32, c: u32) -> vec4f {
  return tile_b[j * B + c];
}
