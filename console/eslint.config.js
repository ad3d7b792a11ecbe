import hooks from 'eslint-plugin-react-hooks';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig(
  { ignores: ['node_modules/', 'eslint.config.js'] },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  hooks.configs.flat.recommended,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Numbers in texts are meant to be there.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // An event handler that starts a promise answers errors inside of it.
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { attributes: false } }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // Nothing is ever rendered as HTML.
      'no-restricted-syntax': ['error', { selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']", message: 'Values are text.' }],
      // It does not end on types that contain themselves, such as those of JSON.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      // It takes what was false before an await, such as `signal.aborted`, to be false after it.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // An empty text and a time of 0 say that there is none.
      '@typescript-eslint/prefer-nullish-coalescing': ['error', { ignorePrimitives: true }],
      'no-console': 'error',
    },
  },
);
