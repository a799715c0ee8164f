import { type FileInfo, type FileInfoView, InsienError, fileInfoView } from "@insien/protocol";

/** The agent is not trusted: nothing goes on but what was to be in its answer. */
export function fileInfosView(entries: readonly FileInfo[]): FileInfoView[] {
  try {
    return entries.map(({ modifiedAt, ...file }) =>
      fileInfoView.parse({ ...file, modified_at: modifiedAt }),
    );
  } catch (cause) {
    throw new InsienError("internal", "The agent's answer is no list of files", { cause });
  }
}
