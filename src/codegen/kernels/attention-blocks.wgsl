// Workgroups that share the rows of one batch.
fn blocks(rows: u32) -> u32 {
  return (rows + OWNERS - 1u) / OWNERS;
}
