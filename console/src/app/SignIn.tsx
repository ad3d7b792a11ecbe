import { useState, type SyntheticEvent } from 'react';
import { api } from '../api/client';
import { SignedOut } from '../api/errors';
import { texts } from '../texts';

/** Asks for the key that the server wants. The server keeps it in a cookie that no script can read. */
export function SignIn({ onSignedIn }: { onSignedIn: () => void }) {
  const [key, setKey] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);

  const submit = async (event: SyntheticEvent) => {
    event.preventDefault();
    setBusy(true);
    setError('');
    try {
      await api.signIn(key);
      onSignedIn();
    } catch (failure) {
      setError(failure instanceof SignedOut ? texts.signIn.wrong : (failure as Error).message);
    } finally {
      setBusy(false);
    }
  };

  return (
    <form className="card sign-in" onSubmit={(event) => void submit(event)}>
      <h1>{texts.signIn.title}</h1>
      <p className="hint">{texts.signIn.hint}</p>
      <label>
        {texts.signIn.key}
        <input type="password" autoComplete="current-password" required autoFocus value={key} onChange={(event) => setKey(event.target.value)} />
      </label>
      <div role="alert" className="problem">
        {error}
      </div>
      <button type="submit" className="primary" disabled={busy || key === ''}>
        {texts.signIn.submit}
      </button>
    </form>
  );
}
