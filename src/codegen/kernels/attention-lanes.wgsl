// A subgroup of S lanes has OWNERS rows of its own (queries, or keys) with LANES lanes each: a lane holds every LANES-th vector of its row in
// registers. The rows they go along are loaded OWNERS at a time, by the lanes of each owner one, and handed round: no workgroup memory, no
// barrier. Lanes past the last row repeat it, so that all hand round what they load.

// The sum of what the lanes of a row have, the same bits in each.
fn together(x: vec4f) -> f32 {
  var sum = x.x + x.y + x.z + x.w;
  for (var other = 1u; other < LANES; other *= 2u) {
    sum += subgroupShuffleXor(sum, other);
  }
  return sum;
}

