/** What stands where there is nothing to show: why, and what to do about it. */
import { Button, Title } from "@mantine/core";
import { IconAlertTriangle, type Icon } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { explain } from "./explanation.ts";

export function Notice({
  icon: Symbol,
  title,
  level = 2,
  children,
}: {
  icon: Icon;
  title: string;
  level?: 1 | 2;
  children: ReactNode;
}) {
  return (
    <div className="empty">
      <div className="empty-icon">
        <Symbol size={26} aria-hidden />
      </div>
      <Title order={level} size="h4" mt="xs">
        {title}
      </Title>
      {children}
    </div>
  );
}

export function Failure({
  title,
  error,
  onRetry,
}: {
  title: string;
  error: unknown;
  onRetry: () => void;
}) {
  const { message, hint } = explain(error);
  return (
    <div role="alert">
      <Notice icon={IconAlertTriangle} title={title}>
        <p>
          {message}
          {hint === undefined ? "" : ` ${hint}`}
        </p>
        <Button variant="default" onClick={onRetry}>
          Try again
        </Button>
      </Notice>
    </div>
  );
}
