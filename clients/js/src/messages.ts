/** The messages of a task: what it logs, its errors among them. */

/** How important a message is; "unspecified" is a kind that came after this version. */
export type MessageType = "unspecified" | "log" | "info" | "debug" | "warning" | "error";

/** A message of a task. */
export interface TaskMessage {
  readonly id: string;
  readonly type: MessageType;
  readonly text: string;
  /** Empty if it is about the whole task. */
  readonly nodeId: string;
  readonly time: Date | undefined;
}
