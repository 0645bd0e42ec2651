// The naive form: rows are read from memory each time. The barrier keeps what a kernel holds for the rows of one turn apart from the next.
fn stage(batch: u32, first: u32, rows: u32, lid: u32) {
  workgroupBarrier();
}

fn row_a(batch: u32, row: u32, j: u32, c: u32) -> vec4f {
  return vector_a(batch, row, c);
}

fn row_b(batch: u32, row: u32, j: u32, c: u32) -> vec4f {
  return vector_b(batch, row, c);
}
