import { Modal } from "@mantine/core";
import type { ReactNode } from "react";

/** A question or a form over the page. Open as long as it is there. */
export function Dialog({
  title,
  size = "md",
  stays = false,
  onClose,
  children,
}: {
  title: string;
  size?: "md" | "lg";
  /** A click beside it closes it otherwise. */
  stays?: boolean;
  onClose: () => void;
  children: ReactNode;
}) {
  return (
    <Modal.Root opened centered size={size} closeOnClickOutside={!stays} onClose={onClose}>
      <Modal.Overlay />
      <Modal.Content>
        {/* The page has one banner, which is not this. */}
        <Modal.Header role="presentation">
          <Modal.Title fw={700}>{title}</Modal.Title>
          <Modal.CloseButton aria-label="Close" />
        </Modal.Header>
        <Modal.Body>{children}</Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}
