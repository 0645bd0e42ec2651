// A subgroup of S lanes has TM rows of its own (queries, or keys) and goes along the other rows one by one. A lane has PART columns of every
// row: of the own ones in memory of its own, of the other one in registers, each number of it loaded once for all that is done with it.
// Scores: a lane multiplies its columns of each own row and of the other; S such sums at a time are added across the lanes so that lane r ends
// up with the score of own row r (`across`), where all that follows for a score is done once a row. Weighted sums: the weight of each own row is
// handed round, and a lane adds to its columns. No workgroup memory, no barrier.
// What has many loads or stores is a loop over rows, which a driver leaves one: they are long text for CPU vectors.

// Workgroups that share the rows of one batch.
fn blocks(rows: u32) -> u32 {
  return (rows + TM - 1u) / TM;
}
