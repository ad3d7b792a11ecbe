import { useId } from 'react';
import { isObject, toJson, type Json } from '../api/json';
import { serverNow } from '../app/clock';
import { initial, typed, typedText, Typed, type Draft, type DraftProblem, type Field } from '../model/forms';
import { texts } from '../texts';
import { Icon } from '../ui/Icon';

interface Props {
  field: Field;
  draft: Draft;
  problems: readonly DraftProblem[];
  onChange: (draft: Draft) => void;
  path?: string;
}

/** The fields of the inputs as a whole. */
export function Fields({ field, draft, problems, onChange }: Props) {
  if (field.kind === 'object' && field.properties.length === 0) return <p className="hint">{texts.run.noInputs}</p>;
  return (
    <div className="fields">
      <Members field={field} draft={draft} problems={problems} onChange={onChange} path="" />
    </div>
  );
}

function Members({ field, draft, problems, onChange, path = '' }: Props) {
  const value = isDraftObject(draft) ? draft : {};
  return field.properties.map(([name, inner]) => (
    <FieldView
      key={name}
      name={name}
      field={inner}
      draft={value[name]}
      problems={problems}
      path={path ? `${path}.${name}` : name}
      onChange={(next) => onChange({ ...value, [name]: next })}
    />
  ));
}

function isDraftObject(draft: Draft): draft is Record<string, Draft> {
  return isObject(draft) && !(draft instanceof Typed);
}

function FieldView({ name, field, draft, problems, path = '', onChange }: Props & { name: string }) {
  const id = useId();
  const problem = problems.find((each) => each.path === path);
  const nested = field.kind === 'object' || field.kind === 'array' || field.kind === 'map';
  const label = (
    <>
      <span className="field-name">{field.title || name}</span>
      {field.title && field.title !== name && <span className="hint mono"> {name}</span>}
      {field.required && (
        <span className="required" title={texts.run.field.required}>
          {' '}
          *<span className="visually-hidden"> {texts.run.field.required}</span>
        </span>
      )}
      <span className="hint field-kind"> {field.kind}</span>
    </>
  );
  const about = (
    <>
      {field.description && <span className="hint field-description">{field.description}</span>}
      {problem && (
        <span className="problem" id={`${id}-problem`}>
          {texts.run.field[problem.kind]}
        </span>
      )}
    </>
  );
  if (nested) {
    return (
      <fieldset className="field-group">
        <legend>{label}</legend>
        {about}
        {draft === undefined ? (
          <button type="button" className="quiet small" onClick={() => onChange(initial({ ...field, required: true }) ?? {})}>
            <Icon name="plus" size={12} /> {texts.run.field.give}
          </button>
        ) : (
          <>
            {field.kind === 'object' && <Members field={field} draft={draft} problems={problems} path={path} onChange={onChange} />}
            {field.kind === 'array' && <Items field={field} draft={draft} problems={problems} path={path} onChange={onChange} />}
            {field.kind === 'map' && <Entries field={field} draft={draft} problems={problems} path={path} onChange={onChange} />}
            {!field.required && (
              <button type="button" className="quiet small" onClick={() => onChange(undefined)}>
                <Icon name="trash" size={12} /> {texts.run.field.remove}
              </button>
            )}
          </>
        )}
      </fieldset>
    );
  }
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {about}
      <Control id={id} field={field} draft={draft} invalid={problem !== undefined} onChange={onChange} />
    </div>
  );
}

interface ControlProps {
  id: string;
  field: Field;
  draft: Draft;
  invalid: boolean;
  onChange: (draft: Draft) => void;
}

function Control({ id, field, draft, invalid, onChange }: ControlProps) {
  const common = { id, 'aria-invalid': invalid, 'aria-required': field.required, ...(invalid && { 'aria-describedby': `${id}-problem` }) };
  const hint = field.default === undefined ? '' : toJson(field.default);
  switch (field.kind) {
    case 'boolean':
      return (
        <select {...common} value={typeof draft === 'boolean' ? String(draft) : ''} onChange={(event) => onChange(event.target.value === '' ? undefined : event.target.value === 'true')}>
          {!field.required && <option value="">{texts.run.field.unset}</option>}
          <option value="true">{texts.run.field.yes}</option>
          <option value="false">{texts.run.field.no}</option>
        </select>
      );
    case 'enum':
      return <Choice common={common} field={field} draft={draft} onChange={onChange} />;
    case 'integer':
    case 'number':
      return (
        <input
          {...common}
          inputMode={field.kind === 'integer' ? 'numeric' : 'decimal'}
          autoComplete="off"
          placeholder={hint}
          value={typedText(draft)}
          onChange={(event) => onChange(typed(event.target.value, field.kind as 'integer' | 'number'))}
        />
      );
    case 'date-time':
      return (
        <span className="with-button">
          <input {...common} autoComplete="off" placeholder={hint || '2026-01-31T12:30:00Z'} value={typedText(draft)} onChange={(event) => onChange(event.target.value || undefined)} />
          <button type="button" onClick={() => onChange(new Date(serverNow()).toISOString())}>
            {texts.run.field.now}
          </button>
        </span>
      );
    case 'string': {
      const text = typedText(draft);
      return (
        <textarea
          {...common}
          rows={Math.min(Math.max(text.split('\n').length, Math.ceil(text.length / 60), 1), 10)}
          placeholder={hint}
          value={text}
          // An empty text that need not be there is not there.
          onChange={(event) => onChange(event.target.value === '' && !field.required ? undefined : event.target.value)}
        />
      );
    }
    default:
      return (
        <textarea {...common} className="mono" rows={Math.min(Math.max(typedText(draft).split('\n').length, 2), 12)} spellCheck={false} placeholder={hint || 'JSON'} value={jsonText(draft)} onChange={(event) => onChange(typed(event.target.value, 'json'))} />
      );
  }
}

/** In a field for any JSON, a text is shown with its quotes. */
function jsonText(draft: Draft): string {
  return typeof draft === 'string' ? toJson(draft) : typedText(draft);
}

function Choice({ common, field, draft, onChange }: { common: object; field: Field; draft: Draft; onChange: (draft: Draft) => void }) {
  const shown = draft === undefined ? '' : toJson(draft);
  const options = field.options.map((option): [string, Json] => [toJson(option), option]);
  return (
    <select {...common} value={shown} onChange={(event) => onChange(options.find(([text]) => text === event.target.value)?.[1])}>
      {(!field.required || !options.some(([text]) => text === shown)) && <option value={options.some(([text]) => text === shown) ? '' : shown}>{shown && !options.some(([text]) => text === shown) ? shown : texts.run.field.unset}</option>}
      {options.map(([text, option]) => (
        <option key={text} value={text}>
          {typeof option === 'string' ? option : text}
        </option>
      ))}
    </select>
  );
}

function Items({ field, draft, problems, path = '', onChange }: Props) {
  const items = Array.isArray(draft) ? draft : [];
  const inner = field.items;
  if (!inner) return null;
  const replace = (index: number, next: Draft) => onChange(items.map((item, each) => (each === index ? next : item)));
  const swap = (one: number, other: number) => onChange(items.map((item, each) => (each === one ? items[other] : each === other ? items[one] : item)));
  return (
    <ol className="field-items">
      {items.map((item, index) => (
        <li key={index}>
          <FieldView name={`${index}`} field={inner} draft={item} problems={problems} path={`${path}[${index}]`} onChange={(next) => replace(index, next)} />
          <span className="item-tools">
            <Small icon="up" label={texts.run.field.up} disabled={index === 0} onClick={() => swap(index, index - 1)} />
            <Small icon="down" label={texts.run.field.down} disabled={index === items.length - 1} onClick={() => swap(index, index + 1)} />
            <Small icon="trash" label={texts.run.field.remove} onClick={() => onChange(items.filter((_, each) => each !== index))} />
          </span>
        </li>
      ))}
      <li>
        <button type="button" className="quiet small" onClick={() => onChange([...items, initial(inner)])}>
          <Icon name="plus" size={12} /> {texts.run.field.add}
        </button>
      </li>
    </ol>
  );
}

function Entries({ field, draft, problems, path = '', onChange }: Props) {
  const entries = isDraftObject(draft) ? Object.entries(draft) : [];
  const inner = field.items;
  if (!inner) return null;
  const change = (next: [string, Draft][]) => onChange(Object.fromEntries(next));
  const fresh = () => {
    let name = 'key';
    for (let count = 2; entries.some(([each]) => each === name); count += 1) name = `key${count}`;
    return name;
  };
  return (
    <ol className="field-items">
      {entries.map(([key, item], index) => (
        <li key={index}>
          <label className="map-key">
            {texts.run.field.key}
            <input value={key} onChange={(event) => !entries.some(([each]) => each === event.target.value) && change(entries.map((entry, each) => (each === index ? [event.target.value, entry[1]] : entry)))} />
          </label>
          <FieldView name={key} field={inner} draft={item} problems={problems} path={`${path}.${key}`} onChange={(next) => change(entries.map((entry, each) => (each === index ? [key, next] : entry)))} />
          <span className="item-tools">
            <Small icon="trash" label={texts.run.field.remove} onClick={() => change(entries.filter((_, each) => each !== index))} />
          </span>
        </li>
      ))}
      <li>
        <button type="button" className="quiet small" onClick={() => change([...entries, [fresh(), initial(inner)]])}>
          <Icon name="plus" size={12} /> {texts.run.field.add}
        </button>
      </li>
    </ol>
  );
}

function Small({ icon, label, disabled = false, onClick }: { icon: 'up' | 'down' | 'trash'; label: string; disabled?: boolean; onClick: () => void }) {
  return (
    <button type="button" className="quiet icon-button" aria-label={label} title={label} disabled={disabled} onClick={onClick}>
      <Icon name={icon} size={14} />
    </button>
  );
}
