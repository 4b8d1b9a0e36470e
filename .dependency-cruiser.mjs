// The layer table of the design (section 2) as rules: scripts/check-imports.ts runs them, test/arch tests them.

/** Node's own modules, as dependency-cruiser spells them. */
const node = '^[a-z_0-9:/]+$'
const npm = (...names) => names.map((name) => `(^|/)node_modules/${name}/`)
const anyNpm = '(^|/)node_modules/'

/** A layer may import itself and what is listed; anything else is an error that names both files. */
const layer = (name, from, may, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from },
  to: { pathNot: [from, ...may] },
})

const model = '^runtime/model/'
const pure = '^runtime/(compiler|ca|importers)/'
const ports = '^runtime/ports[.]'
const app = '^runtime/app/'
const adapters = '^runtime/adapters/'
const http = '^runtime/http/'
const wiring = '^runtime/(lambda/|server[.]|local[.])'
/** The shapes of Lambda's events: types (`@types/aws-lambda`) without a package behind them. */
const lambdaTypes = '^aws-lambda$'
const proxy = '^proxy-image/src/'

export default {
  forbidden: [
    layer('model', model, npm('valibot', 're2js'), 'The model knows values only: validation and regular expressions.'),
    layer(
      'pure',
      pure,
      [model, ...npm('@peculiar/x509', 'reflect-metadata', 'yaml'), '^(node:)?crypto$'],
      'Compiler, CA profiles and importers are pure functions of the model: no I/O, no SDK, no HTTP.',
    ),
    layer('ports', ports, [model], 'Ports are types over the model.'),
    layer('app', app, [model, pure, ports, node], 'Use cases reach the outside through ports only.'),
    layer(
      'adapters',
      adapters,
      [model, ports, '^runtime/ca/', node, anyNpm],
      'An adapter knows its port, no use case.',
    ),
    {
      name: 'adapters-no-hono',
      comment: 'HTTP is the business of runtime/http.',
      severity: 'error',
      from: { path: adapters },
      to: { path: npm('hono', '@hono') },
    },
    layer(
      'http',
      http,
      [app, model, ports, node, ...npm('hono', '@hono/node-server', 'valibot', '@valibot/[^/]+')],
      'HTTP calls use cases, never adapters.',
    ),
    layer(
      'wiring',
      wiring,
      ['^runtime/', node, anyNpm, lambdaTypes],
      'Wiring sees all of runtime, and nothing above it.',
    ),
    layer(
      'proxy',
      proxy,
      [
        model,
        node,
        ...npm('hono', '@opentelemetry/[^/]+', 'aws4fetch', '@peculiar/x509', 'reflect-metadata', 'valibot', 'ws'),
      ],
      'The data plane shares the model with the control plane, nothing else.',
    ),
    {
      name: 'proxy-no-resources',
      comment: 'The proxy speaks listeners, routes and clusters; App Mesh resources end at the compiler.',
      severity: 'error',
      from: { path: proxy },
      to: { path: '^runtime/model/(resource|policy|spec)' },
    },
    layer(
      'constructs',
      '^lib/',
      [model, node, ...npm('aws-cdk-lib', 'constructs')],
      'Constructs bundle entries by path.',
    ),
    layer(
      'entries',
      '^bin/',
      ['^lib/index[.]', wiring, model, '^runtime/importers/', '^proxy-image/src/main[.]', node, anyNpm],
      'Entries start wiring; they hold no logic of a layer below.',
    ),
    layer('examples', '^examples/', [node, ...npm('hono', '@hono/node-server')], 'Demo apps know nothing of the mesh.'),
    {
      name: 'no-cycle',
      comment: 'Files that import each other are one file in two pieces (type imports may point back).',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['require'] } },
    },
    {
      name: 'no-unresolved',
      comment: 'An import that leads nowhere.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: lambdaTypes },
    },
  ],
}
