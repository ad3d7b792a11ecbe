import { useEffect, useId, useRef, type ReactNode } from 'react';
import { texts } from '../texts';
import { Icon } from './Icon';

/** A modal dialog: the browser keeps the focus inside and closes it with Escape. */
export function Dialog({ title, children, actions, onClose }: { title: string; children: ReactNode; actions?: ReactNode; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === dialog.current) onClose();
      }}
    >
      <div className="dialog-content">
        <header>
          <h2 id={id}>{title}</h2>
          <button type="button" className="quiet icon-button" aria-label={texts.common.close} onClick={onClose}>
            <Icon name="close" />
          </button>
        </header>
        {children}
        {actions && <footer>{actions}</footer>}
      </div>
    </dialog>
  );
}
