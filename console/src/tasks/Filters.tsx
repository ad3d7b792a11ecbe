import { useState, type RefObject } from 'react';
import { STATUSES } from '../api/types';
import type { QueryChange } from '../app/router';
import type { TaskFilter } from '../model/tasks';
import { texts } from '../texts';
import { Icon } from '../ui/Icon';

interface Props {
  filter: TaskFilter;
  search: RefObject<HTMLInputElement | null>;
  onChange: (change: QueryChange) => void;
}

/** What the list is narrowed to. It is all in the address, so that it can be shared. */
export function Filters({ filter, search, onChange }: Props) {
  const [label, setLabel] = useState('');
  const addLabel = () => {
    if (label.indexOf('=') <= 0) return;
    onChange({ label: [...new Set([...filter.labels, label.trim()])] });
    setLabel('');
  };
  return (
    <div className="filters" role="search">
      <label className="search-field">
        <Icon name="search" />
        <span className="visually-hidden">{texts.tasks.search}</span>
        <input ref={search} type="search" placeholder={texts.tasks.search} value={filter.name} onChange={(event) => onChange({ name: event.target.value })} />
      </label>
      <fieldset className="chips">
        <legend className="visually-hidden">{texts.tasks.status}</legend>
        {STATUSES.map((status) => {
          const on = filter.statuses.includes(status);
          return (
            <button
              key={status}
              type="button"
              className={`chip status-${status}`}
              aria-pressed={on}
              onClick={() => onChange({ status: on ? filter.statuses.filter((each) => each !== status) : [...filter.statuses, status] })}
            >
              {texts.status[status]}
            </button>
          );
        })}
      </fieldset>
      <label>
        <span className="visually-hidden">{texts.tasks.time}</span>
        <select value={filter.created} onChange={(event) => onChange({ created: event.target.value })}>
          {Object.entries(texts.tasks.times).map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <form
        className="label-field"
        onSubmit={(event) => {
          event.preventDefault();
          addLabel();
        }}
      >
        <label>
          <span className="visually-hidden">{texts.tasks.label}</span>
          <input placeholder={`${texts.tasks.label} ${texts.tasks.labelHint}`} value={label} onChange={(event) => setLabel(event.target.value)} onBlur={addLabel} />
        </label>
      </form>
      {filter.labels.map((each) => (
        <button key={each} type="button" className="label-chip" title={texts.tasks.clear} onClick={() => onChange({ label: filter.labels.filter((other) => other !== each) })}>
          {each} <Icon name="close" size={12} />
        </button>
      ))}
    </div>
  );
}
