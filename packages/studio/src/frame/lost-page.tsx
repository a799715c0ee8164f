import { Button } from "@mantine/core";
import { IconMapQuestion } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { Notice } from "./notice.tsx";

export function LostPage() {
  return (
    <main>
      <Notice icon={IconMapQuestion} title="There is no such page" level={1}>
        <p>The address may be misspelt.</p>
        <Button component={Link} to="/sandboxes">
          Go to sandboxes
        </Button>
      </Notice>
    </main>
  );
}
