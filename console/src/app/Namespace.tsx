/** The namespace that the page is about, and for admins the way to another one. */
import { useState, type SyntheticEvent } from 'react';
import { tasksOf } from '../api/namespace';
import type { Caller } from '../api/types';
import { texts } from '../texts';
import { Dialog } from '../ui/Dialog';
import { Icon } from '../ui/Icon';
import { navigate } from './router';

/** Whose tasks the page shows. An admin may name another namespace; the server does not list them. */
export function Namespace({ caller }: { caller: Caller }) {
  const [asking, setAsking] = useState(false);
  if (caller.role !== 'admin') {
    return (
      <span className="namespace" title={texts.namespace.title}>
        {caller.namespace}
      </span>
    );
  }
  const choose = (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = new FormData(event.currentTarget).get('namespace');
    setAsking(false);
    navigate(tasksOf(typeof name === 'string' ? name.trim() : ''));
  };
  return (
    <>
      <button type="button" className="quiet namespace" title={texts.namespace.choose} onClick={() => setAsking(true)}>
        <span className="visually-hidden">{texts.namespace.title}</span>
        <span className="namespace-name">{caller.namespace}</span>
        <Icon name="down" size={12} />
      </button>
      {asking && (
        <Dialog title={texts.namespace.choose} onClose={() => setAsking(false)}>
          <form className="namespace-form" onSubmit={choose}>
            <label>
              {texts.namespace.name}
              <input name="namespace" defaultValue={caller.namespace} pattern="[A-Za-z0-9_.\-]{1,64}" maxLength={64} autoFocus spellCheck={false} autoComplete="off" />
            </label>
            <p className="hint">{texts.namespace.hint}</p>
            <button type="submit" className="primary">
              {texts.namespace.show}
            </button>
          </form>
        </Dialog>
      )}
    </>
  );
}
