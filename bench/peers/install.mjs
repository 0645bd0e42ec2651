// The programs that we are held against, installed by this folder's lock file.
import { installApart } from "../../scripts/install-apart.mjs";

export const installPeers = () => installApart(import.meta.dirname);
