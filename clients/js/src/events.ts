/** The events of a task, as a watch yields them. */

import type { JsonObject } from "./json.js";
import type { TaskMessage } from "./messages.js";
import type { Snapshot, StatusInfo } from "./models.js";

/** The task started or ended. */
export interface TaskStatusChanged extends StatusInfo {
  readonly kind: "taskStatusChanged";
  /** 1, 2, 3 … within the task; watch after it to go on from here. */
  readonly sequence: number;
  readonly time: Date;
  /** The task's outputs, with "succeeded". */
  readonly outputs: JsonObject | undefined;
  readonly outputsText: string;
}

/**
 * A node started or ended one run.
 *
 * The event that ends a run repeats nothing that the event that started it carried: merge the two by `snapshot.id`. A
 * node that does no I/O sends its end alone.
 */
export interface NodeStatusChanged extends StatusInfo {
  readonly kind: "nodeStatusChanged";
  readonly sequence: number;
  readonly time: Date;
  readonly nodeId: string;
  readonly snapshot: Snapshot;
}

/** The task or one of its nodes has something to say. */
export interface MessageLogged {
  readonly kind: "message";
  readonly sequence: number;
  readonly time: Date;
  readonly message: TaskMessage;
}

/**
 * Text of a language model as it arrives.
 *
 * Live only: it has no sequence, is not kept, and what was sent while a watch was away is not sent again; the whole
 * text is in the outputs of the node's run.
 */
export interface OutputDelta {
  readonly kind: "outputDelta";
  readonly sequence: 0;
  readonly time: Date;
  readonly nodeId: string;
  readonly snapshotId: string;
  readonly text: string;
  /** This is all the text of the run so far: it replaces what was shown. */
  readonly fromStart: boolean;
}

/** Any event, distinguished by `kind`. Every one has a `sequence`; 0 for what is not durable. */
export type Event = TaskStatusChanged | NodeStatusChanged | MessageLogged | OutputDelta;
