import { useState } from 'react';
import { isObject, toJson, type Json } from '../api/json';
import { bytes } from '../model/format';
import { texts } from '../texts';
import { CopyButton } from './CopyButton';
import { Icon } from './Icon';

const OPEN_DEPTH = 2;
const OPEN_MEMBERS = 30;
const PAGE = 100;
const LONG_TEXT = 600;
const TEXT_PAGE = 100_000;
/** Indentation stops here, so that deep values stay on the screen. */
const DEEPEST_INDENT = 12;

/** A JSON value as a tree. Values are text, whatever they look like; what is large is cut until it is asked for. */
export function JsonTree({ value, label }: { value: Json; label: string }) {
  return (
    <div className="json" role="group" aria-label={label}>
      <CopyButton text={() => toJson(value, 2)} label={texts.json.copyValue} />
      <ul className="json-root">
        <Entry value={value} depth={0} />
      </ul>
    </div>
  );
}

function Entry({ name, value, depth }: { name?: string; value: Json; depth: number }) {
  if (Array.isArray(value) || isObject(value)) return <Branch {...(name !== undefined && { name })} value={value} depth={depth} />;
  return (
    <li className="json-leaf">
      {name !== undefined && <Name text={name} />}
      <Leaf value={value} />
    </li>
  );
}

function Name({ text }: { text: string }) {
  return <span className="json-name">{text}: </span>;
}

function Branch({ name, value, depth }: { name?: string; value: Json[] | Record<string, Json>; depth: number }) {
  const isArray = Array.isArray(value);
  const names = isArray ? undefined : Object.keys(value);
  const total = names ? names.length : (value as Json[]).length;
  const [open, setOpen] = useState(depth === 0 || (depth < OPEN_DEPTH && total <= OPEN_MEMBERS));
  const [limit, setLimit] = useState(PAGE);
  const summary = isArray ? texts.json.items(total) : texts.json.members(total);
  const shown = Math.min(limit, total);
  const members = open
    ? Array.from({ length: shown }, (_, index): [string, Json] => {
        const key = names ? (names[index] ?? '') : String(index);
        return [key, (isArray ? value[index] : value[key]) ?? null];
      })
    : [];
  if (total === 0) {
    return (
      <li className="json-leaf">
        {name !== undefined && <Name text={name} />}
        <span className="json-empty">{isArray ? '[ ]' : '{ }'}</span>
      </li>
    );
  }
  return (
    <li className="json-branch">
      <button type="button" className="json-toggle" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="chevron" size={12} />
        {name !== undefined && <Name text={name} />}
        <span className="json-summary">
          {isArray ? '[' : '{'}
          {open ? '' : `…${isArray ? ']' : '}'}`} <small>{summary}</small>
        </span>
      </button>
      {open && (
        <ul className={depth < DEEPEST_INDENT ? undefined : 'json-flat'}>
          {members.map(([key, member]) => (
            <Entry key={key} name={key} value={member} depth={depth + 1} />
          ))}
          {shown < total && (
            <li>
              <button type="button" className="link" onClick={() => setLimit(limit + PAGE * 10)}>
                {texts.common.showMore(Math.min(PAGE * 10, total - shown))}
              </button>
            </li>
          )}
        </ul>
      )}
    </li>
  );
}

function Leaf({ value }: { value: null | boolean | number | bigint | string }) {
  const [limit, setLimit] = useState(LONG_TEXT);
  if (typeof value !== 'string') return <span className={`json-${value === null ? 'null' : typeof value}`}>{String(value)}</span>;
  const cut = value.length > limit;
  return (
    <>
      <span className="json-string">{cut ? `"${value.slice(0, limit)}…` : `"${value}"`}</span>
      {cut && (
        <button type="button" className="link" onClick={() => setLimit(limit < TEXT_PAGE ? TEXT_PAGE : limit * 4)}>
          {value.length > TEXT_PAGE ? texts.json.moreOf(bytes(value.length)) : texts.common.showAll(texts.json.characters(value.length))}
        </button>
      )}
    </>
  );
}
