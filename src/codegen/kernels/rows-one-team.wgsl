// One team: each thread is a lane of the row that is at hand.
fn lane_of(lid: u32) -> u32 {
  return lid;
}

fn row_of(team: u32, lid: u32) -> u32 {
  return team;
}
