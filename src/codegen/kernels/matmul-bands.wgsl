// Which tile of C a workgroup has where a CPU goes through the workgroups in their order: bands of up to BAND tiles of rows, and within a band
// all tiles of one column of tiles before those of the next. A band's rows of A stay in a core's cache while B is brought once; row by row of
// tiles, all of B would be brought for each. Counted within a batch; gives the tile's row and column.
const BAND = 8u;

fn tile_place(tile: u32, tiles_m: u32, tiles_n: u32) -> vec2u {
  let first = tile / (BAND * tiles_n) * BAND;
  let rows = min(BAND, tiles_m - first);
  let within = tile - first * tiles_n;
  return vec2u(first + within % rows, within / rows);
}
