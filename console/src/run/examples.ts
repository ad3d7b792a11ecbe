/** The workflows of the repository's `examples/`, each loaded when it is chosen. */

const files = import.meta.glob<string>('../../../examples/*.json', { query: '?raw', import: 'default' });

export interface Example {
  name: string;
  load: () => Promise<string>;
}

export const examples: Example[] = Object.entries(files).map(([path, load]) => ({
  name: path.replace(/^.*\//, '').replace(/\.json$/, ''),
  load,
}));
