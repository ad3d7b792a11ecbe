/** The page of /api/docs: the REST API, to read and to try. */

import SwaggerUI from 'swagger-ui-dist/swagger-ui-es-bundle.js';
import 'swagger-ui-dist/swagger-ui.css';

SwaggerUI({
  url: '/api/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  // It would be asked for at the maker's site.
  validatorUrl: null,
});
