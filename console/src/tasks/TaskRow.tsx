import { memo } from 'react';
import type { TaskSummary } from '../api/types';
import { useNow } from '../app/clock';
import { Link } from '../app/Link';
import { paths } from '../app/router';
import { duration } from '../model/format';
import { nameOf, queueTime, runTime } from '../model/tasks';
import { texts } from '../texts';
import { StatusBadge } from '../ui/StatusBadge';
import { Time } from '../ui/Time';

interface Props {
  task: TaskSummary;
  selected: boolean;
  current: boolean;
  onToggle: (taskID: string) => void;
  onLabel: (label: string) => void;
}

const LABELS = 3;

export const TaskRow = memo(function TaskRow({ task, selected, current, onToggle, onLabel }: Props) {
  const { status, terminated } = task.workflowStatus;
  const name = nameOf(task);
  const labels = Object.entries(task.labels);
  return (
    <tr data-task={task.taskID} data-status={status} className={current ? 'current' : undefined}>
      <td className="cell-select">
        <input type="checkbox" aria-label={texts.tasks.select(name || task.taskID)} checked={selected} onChange={() => onToggle(task.taskID)} />
      </td>
      <td className="cell-status">
        <StatusBadge status={status} />
      </td>
      <td className="cell-name">
        <Link href={paths.task(task.taskID)}>
          <span className={name ? 'task-name' : 'task-name unnamed'}>{name || texts.common.unnamed}</span>
          <span className="task-id">{task.taskID}</span>
        </Link>
      </td>
      <td className="cell-labels">
        {labels.slice(0, LABELS).map(([key, value]) => (
          <button key={key} type="button" className="label-chip" title={`${key}=${value}`} onClick={() => onLabel(`${key}=${value}`)}>
            {key}={value}
          </button>
        ))}
        {labels.length > LABELS && <span className="hint" title={labels.map(([key, value]) => `${key}=${value}`).join('\n')}>+{labels.length - LABELS}</span>}
      </td>
      <td className="cell-time">
        <Time at={task.createTime} />
      </td>
      <Durations task={task} ticking={!terminated} />
    </tr>
  );
});

function Durations({ task, ticking }: { task: TaskSummary; ticking: boolean }) {
  const now = useNow(ticking);
  const ran = runTime(task, now);
  return (
    <>
      <td className="cell-number" data-title={texts.tasks.columns.queued}>
        {duration(queueTime(task, now))}
      </td>
      <td className="cell-number" data-title={texts.tasks.columns.ran}>
        {ran === undefined ? texts.common.none : duration(ran)}
      </td>
    </>
  );
}
