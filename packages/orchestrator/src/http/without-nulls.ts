type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const stripped = (value: unknown): unknown =>
  isFields(value)
    ? Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null))
    : value;

/**
 * The body of a create without its `null`s, which mean the same as leaving a field out: clients whose
 * models have optional fields send them so. In maps of the caller's own, such as the environment, a
 * `null` stays, to be refused.
 */
export function withoutNulls(body: unknown): unknown {
  const fields = stripped(body);
  if (!isFields(fields)) return fields;
  const { resources, ports, volumes } = fields;
  return {
    ...fields,
    ...(isFields(resources) ? { resources: stripped(resources) } : {}),
    ...(Array.isArray(ports) ? { ports: ports.map(stripped) } : {}),
    ...(isFields(volumes) ? { volumes: mapped(volumes) } : {}),
  };
}

const mapped = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, stripped(value)]));
